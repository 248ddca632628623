"""The rows that an inference request holds: numbers in JSON, raw tensors, or PNG and JPEG pictures."""

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.contract.errors import InputError, TooManyPixels, UnreadablePicture
from service.contract.input_spec import InputSpec
from service.contract.pictures import SIGNATURES, announced_pixels, decode_picture
from service.datatypes import DATATYPES, read_numbers
from service.errors import Malformed, TooLarge
from service.oip.head import Input
from service.oip.request import Request

Array = NDArray[Any]
MOST_RAW_BYTES = 1 << 20
SMALL_BYTES = 64 * 1024
"""What is read in less time than it takes to hand it to another thread."""
BYTES = "BYTES"
"""Datatype of an input whose elements are PNG or JPEG pictures."""
PNG = SIGNATURES[0]
PICTURES = 4
"""The pictures of a request may together have as many pixels as so many of the largest: each takes time to decode."""


def is_quick(request: Request) -> bool:
    """Whether its rows are read in so little time that an event loop may do it.

    Raw tensors, which are only looked at, and short JSON; no picture.
    """
    if request.whole is not None or request.json_bytes > SMALL_BYTES:
        return False
    raw = 0
    for each in request.inputs:
        if each.datatype == BYTES:
            return False
        raw += each.raw_bytes or 0
    return raw <= MOST_RAW_BYTES


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
        return _of_input(request.inputs[0], request.raw[0], spec, most, max_pixels)
    except TooManyPixels as error:
        raise TooLarge(str(error)) from error
    except InputError as error:
        raise Malformed(str(error)) from error


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
    return spec.from_tensor(_native(np.frombuffer(content, dtype), spec).reshape(1, *spec.item_shape))


def _of_input(entry: Input, raw: memoryview, spec: InputSpec, most: int, max_pixels: int) -> Array:
    if entry.name != spec.name:
        raise Malformed(f"the model's input is named '{spec.name}'; see /v2/models")
    datatype, own, shape = entry.datatype, DATATYPES[spec.dtype], entry.shape
    if datatype not in (own, BYTES):
        raise Malformed(f"input '{spec.name}' takes datatype {own}, or {BYTES} for PNG or JPEG pictures")
    if shape and shape[0] > most:
        raise TooLarge(f"the request has {shape[0]} images; at most {most} are accepted at once")
    if datatype == BYTES:
        if entry.raw_bytes is None:
            raise Malformed(f"pictures of input '{spec.name}' are sent as raw bytes behind the JSON, not in it")
        return _of_elements(shape, raw, spec, max_pixels)
    if shape[1:] != spec.item_shape:
        raise Malformed(f"input '{spec.name}' takes items of shape {list(spec.item_shape)}")
    values = _from_json(entry.data, spec) if entry.raw_bytes is None else _from_raw(raw, spec)
    if values.size != entry.values:
        raise Malformed(f"input '{spec.name}' announces {entry.values} values and holds {values.size}")
    return spec.from_tensor(values.reshape(shape))


def _from_raw(raw: memoryview, spec: InputSpec) -> Array:
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    if len(raw) % dtype.itemsize:
        raise Malformed(f"input '{spec.name}' has {len(raw)} raw bytes, no multiple of {dtype.itemsize}")
    return _native(np.frombuffer(raw, dtype), spec)


def _native(values: Array, spec: InputSpec) -> Array:
    """Little-endian values in the byte order of this machine."""
    return values.astype(spec.dtype, copy=False)


def _from_json(data: Any, spec: InputSpec) -> Array:
    try:
        return read_numbers(data, spec.dtype)
    except (TypeError, ValueError) as error:
        kind = DATATYPES[spec.dtype]
        raise Malformed(f"the data of input '{spec.name}' must be {kind} numbers, flat or nested evenly") from error


def _of_elements(shape: Sequence[int], raw: memoryview, spec: InputSpec, max_pixels: int) -> Array:
    """Pictures of an input of shape [n] or [n, 1]."""
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
        raise Malformed(f"pictures of input '{spec.name}' have shape [n] or [n, 1]")
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
