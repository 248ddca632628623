"""POST /v1/models/{m}/predict: one picture in, class probabilities out. Bare ASGI, in front of the framework."""

from functools import partial
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import orjson
from starlette.concurrency import run_in_threadpool

from service.answering import (
    choose,
    compute,
    count_against_quota,
    domain_of,
    let_in,
    provenance,
    provenance_headers,
)
from service.context import Context
from service.contract.errors import InputError
from service.contract.pictures import decode_picture, is_quick_to_decode
from service.engine.session import Array, SessionError
from service.errors import Internal, Malformed, of_input
from service.registry import Handle
from service.serving import scores
from service.wire import Call, read_body

DEFAULT_TOP_K = 5

OPENAPI = {
    "/v1/models/{model}/predict": {
        "post": {
            "summary": "Classify one picture",
            "description": "The body is one PNG or JPEG; it is stretched to the frozen model's input size.",
            "operationId": "predict",
            "tags": ["predict"],
            "parameters": [
                {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}},
                {"name": "domain", "in": "query", "schema": {"type": "string", "default": "default"}},
                {"name": "version", "in": "query", "schema": {"type": "string"}},
                {"name": "top_k", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": DEFAULT_TOP_K}},
            ],
            "requestBody": {
                "required": True,
                "content": {
                    kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/png", "image/jpeg")
                },
            },
            "responses": {"200": {"description": "The most probable classes."}},
        }
    }
}


async def predict(context: Context, call: Call) -> None:
    """Answer one request."""
    model = call.names["model"]
    let_in(context, call, model)
    query = _query(call.scope["query_string"])
    handle = await choose(context, call.principal, model, domain_of(call, query.get("domain")), query.get("version"))
    top_k = _top_k(query.get("top_k"), handle.model.manifest.output.classes)
    body = await read_body(call.headers, call.receive, limit_bytes=context.settings.predict_body_bytes)
    decode = partial(_decode, body, handle, context.settings.max_pixels)
    rows = decode() if is_quick_to_decode(body) else await run_in_threadpool(decode)
    count_against_quota(context, call, len(rows))
    answer = await compute(context, handle, rows)
    try:
        output, values = scores(handle, answer, rows=len(rows))
    except SessionError as error:
        raise Internal from error
    facts = provenance(handle, answer)
    document = {
        "model": model,
        **facts._asdict(),
        "predictions": _most_probable(values[0], output.scores, handle.model.manifest.labels, top_k),
        "request_id": call.request_id.decode(),
    }
    await call.respond(
        200, ((b"content-type", b"application/json"), *provenance_headers(facts)), orjson.dumps(document)
    )


def _decode(body: bytes, handle: Handle, max_pixels: int) -> Array:
    if not body:
        raise Malformed("the body is empty; send one PNG or JPEG picture")
    spec = handle.model.manifest.input
    try:
        return spec.from_pixels(decode_picture(body, spec, max_pixels=max_pixels)[None])
    except InputError as error:
        raise of_input(error) from error


def _query(text: bytes) -> dict[str, str]:
    if not text:
        return {}
    try:
        parsed = parse_qs(text.decode("ascii"), keep_blank_values=True, max_num_fields=16)
    except ValueError as error:
        raise Malformed("the query cannot be read") from error
    return {name: values[-1] for name, values in parsed.items()}


def _top_k(text: str | None, classes: int) -> int:
    if text is None:
        return min(DEFAULT_TOP_K, classes)
    digits = text.lstrip("0")
    if not (text.isascii() and digits.isdigit()):
        raise Malformed("top_k must be a whole number of at least 1")
    # A number of ten digits is more than any model has classes; Python refuses to read one of five thousand.
    return min(int(digits[:10]), classes)


def _most_probable(row: Array, kind: str, labels: tuple[str, ...], top_k: int) -> list[dict[str, Any]]:
    values = np.asarray(row, dtype=np.float64).ravel()
    probabilities = _softmax(values) if kind == "logits" else values
    order = np.argsort(-probabilities, kind="stable")[:top_k]
    return [{"label": labels[i], "index": int(i), "probability": float(probabilities[i])} for i in order]


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())
