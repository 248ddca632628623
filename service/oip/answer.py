"""An inference answer: JSON, with the outputs that are wanted so as raw little-endian bytes behind it."""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import orjson

from service.answering import Provenance
from service.datatypes import DATATYPES
from service.oip.rows import BYTES, Array

BY_DTYPE = {**{np.dtype(name): kind for name, kind in DATATYPES.items()}, np.dtype(object): BYTES}


class Output(NamedTuple):
    """One output of an answer.

    Attributes:
        values: its numbers, or bytes objects for BYTES.
        binary: whether it comes as raw bytes.
    """

    name: str
    values: Array
    binary: bool


class Stated(NamedTuple):
    """What an answer says beside its outputs."""

    model: str
    facts: Provenance
    id: str | None


def write_answer(stated: Stated, outputs: Sequence[Output]) -> tuple[bytes, int | None]:
    """The body, and how many of its bytes are JSON where something follows them; else None."""
    behind = [raw_bytes(output.values) for output in outputs if output.binary]
    sizes = iter(behind)
    parts = tuple(_part(output, len(next(sizes)) if output.binary else None) for output in outputs)
    if len(behind) < len(outputs) or stated.id is not None:
        head = _json(stated, parts, [None if output.binary else _data(output.values) for output in outputs])
    else:
        head = _json_again(stated, parts)
    return (b"".join([head, *behind]), len(head)) if behind else (head, None)


def classification(values: Array, labels: Sequence[str], most: int) -> Array:
    """The `most` largest of each row (n, classes), the largest first, as "score:index:label"; (n, most) bytes."""
    rows = values.reshape(len(values), -1).astype(np.float64)
    order = np.argsort(-rows, axis=1, kind="stable")[:, :most]
    named = [
        [f"{rows[row, index]:f}:{index}:{_label(labels, index)}".encode() for index in chosen]
        for row, chosen in enumerate(order)
    ]
    texts = np.empty(order.shape, dtype=object)
    texts[...] = named
    return texts


def raw_bytes(values: Array) -> bytes:
    """Values one after the other, little endian; each bytes object behind its length."""
    if values.dtype == object:
        return b"".join(struct.pack("<I", len(each)) + each for each in values.ravel())
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _label(labels: Sequence[str], index: int) -> str:
    return labels[index] if index < len(labels) else str(index)


class _Part(NamedTuple):
    """What the JSON says of an output; `raw_bytes` is None for one that is in it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw_bytes: int | None


def _part(output: Output, raw_bytes: int | None) -> _Part:
    return _Part(output.name, BY_DTYPE[output.values.dtype], output.values.shape, raw_bytes)


def _json(stated: Stated, parts: Sequence[_Part], data: Sequence[Any] = ()) -> bytes:
    document: dict[str, Any] = {
        "model_name": stated.model,
        "model_version": str(stated.facts.version),
        "parameters": stated.facts._asdict(),
    }
    if stated.id is not None:
        document["id"] = stated.id
    outputs = []
    for place, part in enumerate(parts):
        entry: dict[str, Any] = {"name": part.name, "datatype": part.datatype, "shape": part.shape}
        if part.raw_bytes is None:
            entry["data"] = data[place]
        else:
            entry["parameters"] = {"binary_data_size": part.raw_bytes}
        outputs.append(entry)
    return orjson.dumps({**document, "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)


# Without an id, the same few go before every answer.
_json_again = lru_cache(maxsize=1024)(_json)


def _data(values: Array) -> Any:
    if values.dtype == object:
        return [each.decode() for each in values.ravel()]
    return np.ravel(values)
