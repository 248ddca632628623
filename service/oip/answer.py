"""An inference answer: JSON, with the outputs that are wanted so as raw little-endian bytes behind it."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from service.datatypes import DATATYPES
from service.oip.request import BYTES, Array

BY_DTYPE = {**{np.dtype(name): kind for name, kind in DATATYPES.items()}, np.dtype(object): BYTES}


@dataclass(frozen=True)
class Output:
    """One output of an answer.

    Attributes:
        values: its numbers, or bytes objects for BYTES.
        binary: whether it comes as raw bytes.
    """

    name: str
    values: Array
    binary: bool


def write_answer(document: Mapping[str, Any], outputs: Sequence[Output]) -> tuple[bytes, int | None]:
    """The body, and how many of its bytes are JSON where something follows them; else None."""
    entries, behind = [], []
    for output in outputs:
        entry: dict[str, Any] = {
            "name": output.name,
            "datatype": _datatype(output.values),
            "shape": list(output.values.shape),
        }
        if output.binary:
            behind.append(raw_bytes(output.values))
            entry["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            entry["data"] = _json(output.values)
        entries.append(entry)
    head = orjson.dumps({**document, "outputs": entries}, option=orjson.OPT_SERIALIZE_NUMPY)
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


def _datatype(values: Array) -> str:
    return BY_DTYPE[values.dtype]


def _json(values: Array) -> Any:
    if values.dtype == object:
        return [each.decode() for each in values.ravel()]
    return np.ravel(values)
