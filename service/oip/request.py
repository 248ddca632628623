"""An inference request: JSON, or JSON with raw tensors behind it, or one raw tensor or picture and nothing else.

Behind the JSON come the inputs that announce `binary_data_size`, in their order, little endian.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from service.errors import Malformed
from service.oip.head import Asked, Head, Input, read_head

MOST_REMEMBERED_BYTES = 4096
WHOLE = Head(Asked(binary=True), ())


class Request(NamedTuple):
    """A request, read as far as no model is needed for it.

    Attributes:
        raw: bytes of the inputs that announce their size, by place; empty for the others.
        whole: the body of a request that is nothing but its input, else None.
        json_bytes: how long its JSON was.
    """

    asked: Asked
    inputs: Sequence[Input]
    raw: Sequence[memoryview]
    whole: memoryview | None
    json_bytes: int


def read_request(body: bytes, json_bytes: int | None) -> Request:
    """Read a body whose first `json_bytes` are JSON, or all of it; 0 for none of it.

    Raises:
        Malformed: it cannot be read.
        NotImplementedYet: it points at shared memory.
    """
    if json_bytes == 0:
        return Request(*WHOLE, (), memoryview(body), 0)
    if json_bytes is not None and json_bytes > len(body):
        raise Malformed(f"Inference-Header-Content-Length is {json_bytes}, and the body has {len(body)} bytes")
    end = len(body) if json_bytes is None else json_bytes
    # A client sends the same few hundred bytes before every tensor.
    read = _read_again if end < len(body) and end <= MOST_REMEMBERED_BYTES else read_head
    asked, inputs = read(body[:end])
    return Request(asked, inputs, _shared_out(inputs, memoryview(body)[end:]), None, end)


_read_again = lru_cache(maxsize=256)(read_head)


def _shared_out(inputs: Sequence[Input], behind: memoryview) -> Sequence[memoryview]:
    """The bytes behind the JSON."""
    parts, start = [], 0
    for each in inputs:
        size = each.raw_bytes or 0
        parts.append(behind[start : start + size])
        start += size
    if start != len(behind):
        raise Malformed(f"the inputs announce {start} bytes of raw tensors, and {len(behind)} follow the JSON")
    return parts
