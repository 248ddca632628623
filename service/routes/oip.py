"""Open Inference Protocol v2: model = frozen model, version = corrector version, `0` or an alias included.

`infer` is bare ASGI in front of the framework; the rest is a FastAPI router. On this protocol everything that is wrong
with the tensors is a 400, and every success is exactly 200, because stock clients read it so.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from service import __version__
from service.answering import (
    choose,
    compute,
    count_against_quota,
    domain_of,
    let_in,
    provenance,
    provenance_headers,
)
from service.auth import Scope
from service.context import Context, Ctx
from service.contract.manifest import IDENTITY
from service.datatypes import DATATYPES
from service.engine.session import Array
from service.errors import Malformed, Unavailable
from service.needs import Asking, needs
from service.oip.answer import Output, Stated, classification, write_answer
from service.oip.compression import WORTH_BYTES, accepted, deflate, inflate
from service.oip.head import Asked, Wanted
from service.oip.request import Request, read_request
from service.oip.rows import SMALL_BYTES, is_quick, read_rows
from service.served import ServedModel
from service.wire import Call, RawHeaders, read_body

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
)
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
READS = needs(Scope.PREDICT, Scope.OBSERVE, Scope.ADMIN)


async def infer(context: Context, call: Call) -> None:
    """Answer one request."""
    name = call.names["model"]
    let_in(context, call, name)
    request = await _read(context, call)
    asked = request.asked
    handle = await choose(context, call.principal, name, domain_of(call, asked.domain), call.names.get("version"))
    model, settings = handle.model, context.settings
    read = partial(
        read_rows, request, model.manifest.input, most=settings.infer_max_images, max_pixels=settings.max_pixels
    )
    rows = read() if is_quick(request) else await run_in_threadpool(read)
    wanted = _wanted(asked, model)
    count_against_quota(context, call, len(rows))
    timeout_s = asked.timeout_us / 1e6 if asked.timeout_us else None
    answer = await compute(context, handle, rows, priority=asked.priority, timeout_s=timeout_s)
    facts = provenance(handle, answer)
    outputs = [(each, answer.outputs[model.positions[each.name]]) for each in wanted]
    write = partial(_write, Stated(name, facts, asked.id), asked, outputs, model)
    # Naming classes takes its time: each is a text.
    body, json_bytes = await run_in_threadpool(write) if any(each.classes for each in wanted) else write()
    await _respond(call, body, json_bytes, provenance_headers(facts))


async def _read(context: Context, call: Call) -> Request:
    """The request, its coding undone. Large ones are read beside the loop, which others wait for."""
    limit = context.settings.predict_body_bytes
    body = await read_body(call.headers, call.receive, limit_bytes=limit, coded=True)
    coding, json_bytes = call.header(b"content-encoding"), _json_bytes(call)
    # Raw tensors are only pointed at.
    if coding is None and (len(body) if json_bytes is None else json_bytes) <= SMALL_BYTES:
        return read_request(body, json_bytes)
    return await run_in_threadpool(
        lambda: read_request(inflate(body, coding, limit_bytes=limit), json_bytes),
    )


def _json_bytes(call: Call) -> int | None:
    text = call.headers.get(b"inference-header-content-length")
    if text is None:
        return None
    if not text.isdigit() or len(text) >= 16:
        raise Malformed("Inference-Header-Content-Length must be a whole number of bytes")
    return int(text)


def _wanted(asked: Asked, model: ServedModel) -> Sequence[Wanted]:
    known = model.positions
    if not asked.outputs:
        return [Wanted(name) for name in known]
    if any(each.name not in known for each in asked.outputs):
        raise Malformed(f"the model's outputs are {', '.join(known)}; the request asks for another one")
    scores = model.manifest.output.name
    if any(each.classes and each.name != scores for each in asked.outputs):
        raise Malformed(f"only output '{scores}' holds class scores; the request asks for classes of another one")
    return asked.outputs


def _write(
    stated: Stated, asked: Asked, outputs: Sequence[tuple[Wanted, Array]], model: ServedModel
) -> tuple[bytes, int | None]:
    labels = model.manifest.labels
    return write_answer(
        stated,
        [
            Output(
                wanted.name,
                classification(values, labels, wanted.classes) if wanted.classes else values,
                asked.binary if wanted.binary is None else wanted.binary,
            )
            for wanted, values in outputs
        ],
    )


async def _respond(call: Call, body: bytes, json_bytes: int | None, encoded: RawHeaders) -> None:
    """Send an answer, in the coding that is asked for where that is worth it."""
    if json_bytes is None:
        own: RawHeaders = ((b"content-type", b"application/json"),)
    else:
        length = (b"inference-header-content-length", b"%d" % json_bytes)
        own = ((b"content-type", b"application/octet-stream"), length)
    coding = accepted(call.header(b"accept-encoding")) if len(body) >= WORTH_BYTES else None
    if coding is not None:
        body = await run_in_threadpool(deflate, body, coding)
        own = (*own, (b"content-encoding", coding.encode()), (b"vary", b"accept-encoding"))
    await call.respond(200, own + encoded, body)


@router.get("", dependencies=READS)
def server_metadata() -> dict[str, Any]:
    """Name, version and extensions."""
    return {"name": "foreoptic", "version": __version__, "extensions": list(EXTENSIONS)}


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


@router.get("/models/{model}", dependencies=READS)
@router.get("/models/{model}/versions/{version}", dependencies=READS)
async def model_metadata(context: Ctx, asking: Asking, model: str, version: str | None = None) -> dict[str, Any]:
    """Inputs, outputs and versions of a frozen model."""
    served = context.model(model)
    if version is not None:
        await choose(context, asking, model, asking.home, version)
    numbers = await run_in_threadpool(context.published, model, asking)
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


@router.get("/models/{model}/ready", dependencies=READS)
@router.get("/models/{model}/versions/{version}/ready", dependencies=READS)
async def model_ready(context: Ctx, asking: Asking, model: str, version: str | None = None) -> dict[str, Any]:
    """Whether a model, or one of its versions, can be served."""
    await choose(context, asking, model, asking.home, version)
    return {"name": model, "ready": True}
