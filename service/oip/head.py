"""The JSON of an inference request, checked as far as no model is needed for it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from service.errors import Malformed, NotImplementedYet

LONGEST_TIMEOUT_US = 3_600_000_000
PRIORITIES = 1 << 32
MOST_SIDES = 4


class Wanted(NamedTuple):
    """An output that a request asks for.

    Attributes:
        binary: as raw bytes behind the JSON; None for what the request says of all outputs.
        classes: the so many most probable classes instead of the scores; 0 for the scores.
    """

    name: str
    binary: bool | None = None
    classes: int = 0


class Asked(NamedTuple):
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


class Input(NamedTuple):
    """A tensor that a request announces.

    Attributes:
        values: how many the shape comes to.
        raw_bytes: how long it is behind the JSON; None where it is in it, as `data`.
    """

    name: object
    datatype: object
    shape: tuple[int, ...]
    values: int
    raw_bytes: int | None
    data: Any


class Head(NamedTuple):
    """What the JSON says. Nobody changes it: one may stand for many requests."""

    asked: Asked
    inputs: tuple[Input, ...]


def read_head(content: bytes) -> Head:
    """Read the JSON.

    Raises:
        Malformed: it cannot be read.
        NotImplementedYet: it points at shared memory.
    """
    document = _document(content)
    return Head(_asked(document), tuple(map(_input, document["inputs"])))


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


def _input(entry: Mapping[str, Any]) -> Input:
    parameters = _parameters(entry, "an input")
    _no_shared_memory(parameters)
    shape = entry.get("shape")
    if (
        not isinstance(shape, list)
        or len(shape) > MOST_SIDES
        or not all(type(side) is int and side >= 0 for side in shape)
    ):
        raise Malformed(f"the shape of an input must be at most {MOST_SIDES} whole numbers")
    raw_bytes = _whole_number(parameters, "binary_data_size", 1 << 40) if "binary_data_size" in parameters else None
    data = entry.get("data")
    return Input(entry.get("name"), entry.get("datatype"), tuple(shape), math.prod(shape), raw_bytes, data)


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
