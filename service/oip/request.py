"""An inference request: JSON, or JSON with raw tensors behind it, or one raw tensor or picture and nothing else.

Behind the JSON come the inputs that announce `binary_data_size`, in their order, little endian. Every defect is named
with the input that has it.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from service.contract.errors import InputError, TooManyPixels, UnreadablePicture
from service.contract.input_spec import InputSpec
from service.contract.pictures import SIGNATURES, announced_pixels, decode_picture
from service.datatypes import DATATYPES, read_numbers
from service.errors import Malformed, NotImplementedYet, TooLarge

Array = NDArray[Any]
MOST_RAW_BYTES = 1 << 20
MOST_REMEMBERED_BYTES = 4096
SMALL_BYTES = 64 * 1024
"""What is read in less time than it takes to hand it to another thread."""
BYTES = "BYTES"
"""Datatype of an input whose elements are PNG or JPEG pictures."""
PNG = SIGNATURES[0]
PICTURES = 4
"""The pictures of a request may together have as many pixels as so many of the largest: each takes time to decode."""
LONGEST_TIMEOUT_US = 3_600_000_000
PRIORITIES = 1 << 32


@dataclass(frozen=True)
class Wanted:
    """An output that a request asks for.

    Attributes:
        binary: as raw bytes behind the JSON; None for what the request says of all outputs.
        classes: the so many most probable classes instead of the scores; 0 for the scores.
    """

    name: str
    binary: bool | None = None
    classes: int = 0


@dataclass(frozen=True)
class Asked:
    """What a request says beside its tensor.

    Attributes:
        domain: in its parameters.
        timeout_us: how long it may take; 0 for as long as it takes.
        priority: 1 goes first; 0 is the default.
        binary: whether outputs come as raw bytes that say nothing of it themselves.
        outputs: those asked for; all of them if empty.
    """

    id: str | None = None
    domain: str | None = None
    timeout_us: int = 0
    priority: int = 0
    binary: bool = False
    outputs: tuple[Wanted, ...] = ()


@dataclass(frozen=True)
class Request:
    """A request, read as far as no model is needed for it.

    Attributes:
        inputs: JSON objects. raw: bytes of those that announce `binary_data_size`, by their place.
        whole: the body of a request that is nothing but its input, else None.
        json_bytes: how long its JSON was.
    """

    asked: Asked
    inputs: Sequence[Mapping[str, Any]] = ()
    raw: Mapping[int, memoryview] = field(default_factory=dict)
    whole: memoryview | None = None
    json_bytes: int = 0


def read_request(body: bytes, json_bytes: int | None) -> Request:
    """Read a body whose first `json_bytes` are JSON, or all of it; 0 for none of it.

    Raises:
        Malformed: it cannot be read.
        NotImplementedYet: it points at shared memory.
    """
    if json_bytes == 0:
        return Request(Asked(binary=True), whole=memoryview(body))
    if json_bytes is not None and json_bytes > len(body):
        raise Malformed(f"Inference-Header-Content-Length is {json_bytes}, and the body has {len(body)} bytes")
    end = len(body) if json_bytes is None else json_bytes
    # A client sends the same few hundred bytes before every tensor.
    asked, inputs = _again(body[:end]) if end < len(body) and end <= MOST_REMEMBERED_BYTES else _read(body[:end])
    return Request(asked, inputs, _raw(inputs, memoryview(body)[end:]), json_bytes=end)


def is_quick(request: Request) -> bool:
    """Whether its rows are read in so little time that an event loop may do it.

    Raw tensors, which are only looked at, and short JSON; no picture.
    """
    if request.whole is not None:
        return False
    raw = sum(map(len, request.raw.values()))
    is_picture = any(entry.get("datatype") == BYTES for entry in request.inputs)
    return not is_picture and raw <= MOST_RAW_BYTES and request.json_bytes <= SMALL_BYTES


def read_rows(request: Request, spec: InputSpec, *, most: int, max_pixels: int) -> Array:
    """The rows that a request holds, as the model takes them.

    Raises:
        Malformed: they do not fit the model.
        TooLarge: more than `most` rows, or a picture of more than `max_pixels`.
    """
    try:
        if request.whole is not None:
            return _of_whole(request.whole, spec, max_pixels)
        if len(request.inputs) != 1:
            raise Malformed(f"the model takes one input, '{spec.name}'; the request has {len(request.inputs)}")
        return _of_input(request.inputs[0], request.raw.get(0), spec, most, max_pixels)
    except TooManyPixels as error:
        raise TooLarge(str(error)) from error
    except InputError as error:
        raise Malformed(str(error)) from error


def _read(content: bytes) -> tuple[Asked, Sequence[Mapping[str, Any]]]:
    """What JSON says; nobody changes it afterwards."""
    document = _document(content)
    return _asked(document), document["inputs"]


_again = lru_cache(maxsize=256)(_read)


def _document(content: bytes) -> dict[str, Any]:
    if not content:
        raise Malformed("the body is empty; send an inference request as JSON")
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise Malformed("the body is not JSON; with raw tensors, give Inference-Header-Content-Length") from error
    inputs = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(inputs, list) or not all(isinstance(entry, dict) for entry in inputs):
        raise Malformed('the body must be a JSON object with a list "inputs" of objects')
    return dict(document)


def _asked(document: Mapping[str, Any]) -> Asked:
    parameters = _parameters(document, "the request")
    domain = parameters.get("domain")
    if domain is not None and not isinstance(domain, str):
        raise Malformed("parameters.domain must be a string")
    name = document.get("id")
    return Asked(
        id=name if isinstance(name, str) else None,
        domain=domain,
        timeout_us=_whole_number(parameters, "timeout", LONGEST_TIMEOUT_US),
        priority=_whole_number(parameters, "priority", PRIORITIES),
        binary=_flag(parameters, "binary_data_output") or False,
        outputs=tuple(map(_wanted, _outputs(document))),
    )


def _outputs(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    outputs = document.get("outputs") or []
    if not isinstance(outputs, list) or not all(isinstance(entry, dict) for entry in outputs):
        raise Malformed('"outputs" must be a list of objects')
    names = [entry.get("name") for entry in outputs]
    if not all(isinstance(name, str) for name in names):
        raise Malformed("every one of outputs needs a name")
    # A name that repeats would multiply the answer: a small request must not ask for gigabytes.
    if len(set(names)) != len(names):
        raise Malformed('"outputs" names an output twice')
    return outputs


def _wanted(entry: Mapping[str, Any]) -> Wanted:
    parameters = _parameters(entry, "an output")
    _no_shared_memory(parameters)
    return Wanted(entry["name"], _flag(parameters, "binary_data"), _whole_number(parameters, "classification", 1 << 16))


def _raw(inputs: Sequence[Mapping[str, Any]], behind: memoryview) -> dict[int, memoryview]:
    """The bytes behind the JSON, shared out."""
    raw, start = {}, 0
    for place, entry in enumerate(inputs):
        parameters = _parameters(entry, "an input")
        _no_shared_memory(parameters)
        if "binary_data_size" in parameters:
            size = _whole_number(parameters, "binary_data_size", 1 << 40)
            raw[place] = behind[start : start + size]
            start += size
    if start != len(behind):
        raise Malformed(f"the inputs announce {start} bytes of raw tensors, and {len(behind)} follow the JSON")
    return raw


def _of_whole(content: memoryview, spec: InputSpec, max_pixels: int) -> Array:
    """One row: a picture, else exactly a tensor's bytes."""
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    is_as_long = len(content) == math.prod(spec.item_shape) * dtype.itemsize
    try:
        return _pictures([content], spec, max_pixels)
    except UnreadablePicture:
        # A tensor may begin like a JPEG, and a PNG be as long as a tensor; only a PNG begins like a PNG.
        if not is_as_long or bytes(content[: len(PNG)]) == PNG:
            raise
    return _checked(np.frombuffer(content, dtype), (1, *spec.item_shape), spec)


def _of_input(entry: Mapping[str, Any], raw: memoryview | None, spec: InputSpec, most: int, max_pixels: int) -> Array:
    if entry.get("name") != spec.name:
        raise Malformed(f"the model's input is named '{spec.name}'; see /v2/models")
    datatype, own = entry.get("datatype"), DATATYPES[spec.dtype]
    if datatype not in (own, BYTES):
        raise Malformed(f"input '{spec.name}' takes datatype {own}, or {BYTES} for PNG or JPEG pictures")
    shape = _shape(entry, spec.name)
    if shape and shape[0] > most:
        raise TooLarge(f"the request has {shape[0]} images; at most {most} are accepted at once")
    if datatype == BYTES:
        return _of_elements(shape, raw, spec, max_pixels)
    if tuple(shape[1:]) != spec.item_shape:
        raise Malformed(f"input '{spec.name}' takes items of shape {list(spec.item_shape)}")
    return _checked(_numbers(entry, raw, spec), shape, spec)


def _shape(entry: Mapping[str, Any], name: str) -> list[int]:
    shape = entry.get("shape")
    if not isinstance(shape, list) or len(shape) > 4 or not all(type(side) is int and side >= 0 for side in shape):
        raise Malformed(f"the shape of input '{name}' must be at most four whole numbers")
    return shape


def _numbers(entry: Mapping[str, Any], raw: memoryview | None, spec: InputSpec) -> Array:
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    if raw is not None:
        if len(raw) % dtype.itemsize:
            raise Malformed(f"input '{spec.name}' has {len(raw)} raw bytes, no multiple of {dtype.itemsize}")
        return np.frombuffer(raw, dtype)
    try:
        return read_numbers(entry.get("data"), spec.dtype)
    except (TypeError, ValueError) as error:
        kind = DATATYPES[spec.dtype]
        raise Malformed(f"the data of input '{spec.name}' must be {kind} numbers, flat or nested evenly") from error


def _checked(values: Array, shape: Sequence[int], spec: InputSpec) -> Array:
    if values.size != math.prod(shape):
        raise Malformed(f"input '{spec.name}' announces {math.prod(shape)} values and holds {values.size}")
    return spec.from_tensor(values.reshape(shape).astype(spec.dtype, copy=False))


def _of_elements(shape: Sequence[int], raw: memoryview | None, spec: InputSpec, max_pixels: int) -> Array:
    """Pictures of an input of shape [n] or [n, 1]."""
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
        raise Malformed(f"pictures of input '{spec.name}' have shape [n] or [n, 1]")
    if raw is None:
        raise Malformed(f"pictures of input '{spec.name}' are sent as raw bytes behind the JSON, not in it")
    elements: list[memoryview] = []
    start = 0
    while start < len(raw) and len(elements) <= shape[0]:
        (size,) = struct.unpack_from("<I", raw, start) if start + 4 <= len(raw) else (len(raw),)
        start += 4
        elements.append(raw[start : start + size])
        start += size
    if start != len(raw) or len(elements) != shape[0] or not elements:
        raise Malformed(f"input '{spec.name}' announces {shape[0]} pictures; each is its length, then its bytes")
    return _pictures(elements, spec, max_pixels)


def _pictures(encoded: Sequence[memoryview], spec: InputSpec, max_pixels: int) -> Array:
    contents = [bytes(each) for each in encoded]
    total, most = sum(map(announced_pixels, contents)), PICTURES * max_pixels
    if total > most:
        raise TooManyPixels(f"the pictures have {total} pixels together; at most {most} are accepted in one request")
    return spec.from_pixels(np.stack([decode_picture(each, spec, max_pixels=max_pixels) for each in contents]))


def _parameters(holder: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    parameters = holder.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise Malformed(f"the parameters of {what} must be a JSON object")
    return parameters


def _no_shared_memory(parameters: Mapping[str, Any]) -> None:
    if any(name.startswith("shared_memory") for name in parameters):
        raise NotImplementedYet("shared memory is not offered; send the tensors in the request")


def _flag(parameters: Mapping[str, Any], name: str) -> bool | None:
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise Malformed(f"parameter {name} must be true or false")
    return value


def _whole_number(parameters: Mapping[str, Any], name: str, most: int) -> int:
    value = parameters.get(name, 0)
    if type(value) is not int or not 0 <= value <= most:
        raise Malformed(f"parameter {name} must be a whole number from 0 to {most}")
    return value
