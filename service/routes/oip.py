"""Open Inference Protocol v2: model = frozen model, version = corrector version, `0` or an alias included.

`infer` is bare ASGI in front of the framework; the rest is a FastAPI router. On this protocol everything that is wrong
with the tensors is a 400, and every success is exactly 200, because stock clients read it so.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from service import __version__
from service.answering import choose, compute, domain_of, provenance, provenance_headers
from service.context import Context, Ctx
from service.contract.errors import InputError, WrongShape
from service.contract.input_spec import InputSpec
from service.contract.manifest import IDENTITY
from service.database import versions
from service.database.domains import DEFAULT
from service.datatypes import DATATYPES, read_numbers
from service.engine.pipeline import Answer
from service.engine.session import Array
from service.errors import Malformed, NotImplementedYet, TooLarge, Unavailable
from service.registry import Handle
from service.wire import Receive, Scope, Send, header, read_body, respond

SMALL_BYTES = 64 * 1024
PLATFORM = "onnx_onnxv1"

_PARAMETERS = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
_INFER = {
    "summary": "Infer (Open Inference Protocol v2)",
    "tags": ["oip"],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
    "responses": {"200": {"description": "Every output of the frozen model."}},
}
OPENAPI = {
    "/v2/models/{model}/infer": {"post": {**_INFER, "operationId": "infer", "parameters": _PARAMETERS}},
    "/v2/models/{model}/versions/{version}/infer": {
        "post": {
            **_INFER,
            "operationId": "infer_version",
            "parameters": [
                *_PARAMETERS,
                {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}},
            ],
        }
    },
}

router = APIRouter(prefix="/v2", tags=["oip"])


async def infer(context: Context, scope: Scope, receive: Receive, send: Send, names: Mapping[str, str]) -> None:
    """Answer one request."""
    if header(scope, b"inference-header-content-length") is not None:
        raise NotImplementedYet("binary tensors are not read yet; send the tensor as JSON (binary_data=False)")
    model = names["model"]
    context.model(model)
    body = await read_body(scope, receive, limit_bytes=context.settings.predict_body_bytes)
    # Large tensors are parsed beside the loop, which others wait for.
    request = _parse(body) if len(body) <= SMALL_BYTES else await run_in_threadpool(_parse, body)
    parameters = request.get("parameters")
    named = parameters.get("domain") if isinstance(parameters, dict) else None
    if named is not None and not isinstance(named, str):
        raise Malformed("parameters.domain must be a string")
    handle = await choose(context, model, domain_of(scope, named), names.get("version"))
    read = partial(_rows, request, handle.model.manifest.input, most=context.settings.infer_max_images)
    rows = read() if len(body) <= SMALL_BYTES else await run_in_threadpool(read)
    wanted = _wanted(request, tuple(output.name for output in handle.model.outputs))
    answer = await compute(context, handle, rows)
    facts = provenance(handle, answer)
    document: dict[str, Any] = {
        "model_name": model,
        "model_version": str(facts["version"]),
        "parameters": facts,
        "outputs": [_output(name, handle, answer) for name in wanted],
    }
    if isinstance(request.get("id"), str):
        document["id"] = request["id"]
    headers = {"content-type": "application/json", **provenance_headers(facts)}
    await respond(send, 200, headers, orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))


def _parse(body: bytes) -> dict[str, Any]:
    if not body:
        raise Malformed("the body is empty; send an inference request as JSON")
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Malformed("the body is not JSON") from error
    if not isinstance(request, dict) or not isinstance(request.get("inputs"), list):
        raise Malformed('the body must be a JSON object with a list "inputs"')
    return request


def _rows(request: dict[str, Any], spec: InputSpec, *, most: int) -> Array:
    inputs = request["inputs"]
    if len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Malformed(f"the model takes one input, '{spec.name}'; the request has {len(inputs)}")
    tensor = inputs[0]
    if tensor.get("name") != spec.name:
        raise Malformed(f"the model's input is named '{spec.name}'; see /v2/models")
    if tensor.get("datatype") != DATATYPES[spec.dtype]:
        raise Malformed(f"input '{spec.name}' takes datatype {DATATYPES[spec.dtype]}")
    shape = tensor.get("shape")
    if not isinstance(shape, list) or len(shape) != 4 or not all(type(side) is int and side >= 0 for side in shape):
        raise Malformed(f"the shape of input '{spec.name}' must be four whole numbers")
    if tuple(shape[1:]) != spec.item_shape:
        raise Malformed(f"input '{spec.name}' takes items of shape {list(spec.item_shape)}")
    if shape[0] > most:
        raise TooLarge(f"the request has {shape[0]} images; at most {most} are accepted at once")
    try:
        values = read_numbers(tensor.get("data"), spec.dtype)
    except (TypeError, ValueError) as error:
        kind = DATATYPES[spec.dtype]
        raise Malformed(f"the data of input '{spec.name}' must be {kind} numbers, flat or nested evenly") from error
    return _shaped(values, shape, spec)


def _shaped(values: Array, shape: list[int], spec: InputSpec) -> Array:
    try:
        if values.size != math.prod(shape):
            raise WrongShape(f"input '{spec.name}' announces {math.prod(shape)} values and holds {values.size}")
        return spec.from_tensor(values.reshape(shape))
    except InputError as error:
        raise Malformed(str(error)) from error


def _wanted(request: dict[str, Any], outputs: tuple[str, ...]) -> tuple[str, ...]:
    asked = request.get("outputs")
    if not asked:
        return outputs
    if not isinstance(asked, list):
        raise Malformed('"outputs" must be a list')
    names = tuple(item.get("name") if isinstance(item, dict) else None for item in asked)
    # A name that repeats would multiply the answer: a small request must not ask for gigabytes.
    if len(set(names)) != len(names):
        raise Malformed('"outputs" names an output twice')
    if any(name not in outputs for name in names):
        raise Malformed(f"the model's outputs are {', '.join(outputs)}; the request asks for another one")
    return tuple(str(name) for name in names)


def _output(name: str, handle: Handle, answer: Answer) -> dict[str, Any]:
    values = answer.outputs[handle.model.position(name)]
    kind = DATATYPES[str(values.dtype)]
    return {"name": name, "datatype": kind, "shape": list(values.shape), "data": np.ravel(values)}


@router.get("")
def server_metadata() -> dict[str, Any]:
    """Name, version and extensions."""
    return {"name": "foreoptic", "version": __version__, "extensions": ["parameters"]}


@router.get("/health/live")
def live() -> dict[str, Any]:
    """Whether the process answers."""
    return {"live": True}


@router.get("/health/ready")
def ready(context: Ctx) -> dict[str, Any]:
    """Whether every registered model can be served."""
    if not context.is_ready:
        raise Unavailable("no model is loaded", retry_after_s=1)
    return {"live": True, "ready": True}


@router.get("/models/{model}")
@router.get("/models/{model}/versions/{version}")
async def model_metadata(context: Ctx, model: str, version: str | None = None) -> dict[str, Any]:
    """Inputs, outputs and versions of a frozen model."""
    served = context.model(model)
    if version is not None:
        await choose(context, model, DEFAULT, version)
    numbers = await run_in_threadpool(_published, context, served.row.frozen_sha256)
    spec = served.manifest.input
    # A file that fixes its rows is served for any number of them, so the first size of everything is open.
    outputs = [
        {"name": each.name, "datatype": DATATYPES[each.dtype], "shape": [-1, *each.shape[1:]]}
        for each in served.outputs
    ]
    return {
        "name": model,
        "versions": [version] if version is not None else [str(number) for number in (IDENTITY, *reversed(numbers))],
        "platform": PLATFORM,
        "inputs": [{"name": spec.name, "datatype": DATATYPES[spec.dtype], "shape": [-1, *spec.item_shape]}],
        "outputs": outputs,
    }


@router.get("/models/{model}/ready")
@router.get("/models/{model}/versions/{version}/ready")
async def model_ready(context: Ctx, model: str, version: str | None = None) -> dict[str, Any]:
    """Whether a model, or one of its versions, can be served."""
    await choose(context, model, DEFAULT, version)
    return {"name": model, "ready": True}


def _published(context: Context, frozen_sha256: str) -> list[int]:
    with context.database.read() as connection:
        return [row.number for row in versions.of_model(connection, frozen_sha256)]
