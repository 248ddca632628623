"""Content codings of the protocol: gzip and deflate (zlib's format), capped while they are inflated."""

import gzip
import zlib

from service.errors import Malformed, TooLarge

CODINGS = ("gzip", "deflate")
WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
WORTH_BYTES = 1024
"""A smaller answer is sent as it is: most clients accept codings whether they gain by them or not."""
LEVEL = 1
"""Of the answer: scores hardly shrink, and the processor has better things to do."""


def inflate(body: bytes, coding: str | None, *, limit_bytes: int) -> bytes:
    """What was sent, without its coding.

    Raises:
        Malformed: another coding, or not in it.
        TooLarge: more than `limit_bytes` come out.
    """
    coding = (coding or "identity").strip().lower()
    if coding == "identity":
        return body
    if coding not in WINDOW:
        raise Malformed(f"Content-Encoding may be {', '.join(CODINGS)} or identity")
    reader = zlib.decompressobj(WINDOW[coding])
    try:
        plain = reader.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise Malformed(f"the body is not in the {coding} coding that it announces") from error
    if len(plain) > limit_bytes:
        raise TooLarge(f"the body is larger than the {limit_bytes} bytes accepted once it is inflated")
    if not reader.eof or reader.unused_data:
        raise Malformed(f"the {coding} body ends early, or something follows it")
    return plain


def accepted(header: str | None) -> str | None:
    """The coding that an Accept-Encoding header asks for, None for none of ours."""
    for entry in (header or "").lower().split(","):
        name, _, quality = entry.partition(";")
        if name.strip() in CODINGS and quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            return name.strip()
    return None


def deflate(body: bytes, coding: str) -> bytes:
    """The body in a coding."""
    return gzip.compress(body, LEVEL, mtime=0) if coding == "gzip" else zlib.compress(body, LEVEL)
