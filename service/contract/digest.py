"""SHA-256 and canonical JSON: the same content has the same bytes, hence the same name."""

import hashlib
import json
from typing import Any


def sha256_hex(content: bytes) -> str:
    """SHA-256 of `content`, 64 lower-case hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces.

    Law: `json.loads(canonical_json(v)) == v` for every JSON value without NaN or infinity.

    Raises:
        ValueError: `value` holds NaN or an infinity, which JSON cannot carry.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")
