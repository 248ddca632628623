"""Open Inference Protocol v2: what may be asked about models beside their metadata, and what is not offered."""

from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from service.answering import choose
from service.auth import Scope
from service.context import Context, Ctx
from service.contract.manifest import IDENTITY
from service.datatypes import DATATYPES
from service.errors import NotImplementedYet
from service.needs import Asking, needs
from service.tally import Counts

router = APIRouter(prefix="/v2", tags=["oip"])
READS = needs(Scope.PREDICT, Scope.OBSERVE, Scope.ADMIN)
COUNTS = needs(Scope.PREDICT, Scope.OBSERVE, Scope.ADMIN, every_domain=True)
NOT_OFFERED: dict[str, Any] = {"methods": ["GET", "POST"], "include_in_schema": False, "dependencies": READS}


@router.post("/repository/index", dependencies=READS)
async def repository_index(context: Ctx, asking: Asking) -> list[dict[str, Any]]:
    """Every version of every frozen model; `ready` in the body leaves nothing out, for all are."""
    return [
        {"name": name, "version": str(version), "state": "READY", "reason": ""}
        for name in context.registry.names()
        for version in (*await run_in_threadpool(context.published, name, asking), IDENTITY)
    ]


@router.post("/repository/models/{model}/load", dependencies=READS)
@router.post("/repository/models/{model}/unload", dependencies=READS)
def control(context: Ctx, model: str) -> None:
    """Not offered: what is served was registered, and stays."""
    context.model(model)
    raise NotImplementedYet("models are registered with `foreoptic register`, and are not loaded or unloaded over HTTP")


@router.get("/models/stats", dependencies=COUNTS)
async def all_statistics(context: Ctx) -> dict[str, Any]:
    """What every version of every frozen model has answered."""
    return {"model_stats": [each for name in context.registry.names() for each in _statistics(context, name)]}


@router.get("/models/{model}/stats", dependencies=COUNTS)
@router.get("/models/{model}/versions/{version}/stats", dependencies=COUNTS)
async def statistics(context: Ctx, asking: Asking, model: str, version: str | None = None) -> dict[str, Any]:
    """What a frozen model, or one of its versions, has answered."""
    context.model(model)
    if version is None:
        return {"model_stats": _statistics(context, model)}
    handle = await choose(context, asking, model, asking.home, version)
    number = str(handle.version.number)
    found = [each for each in _statistics(context, model) if each["version"] == number]
    return {"model_stats": found or [_document(model, number, Counts())]}


@router.get("/models/{model}/config", dependencies=READS)
@router.get("/models/{model}/versions/{version}/config", dependencies=READS)
async def configuration(context: Ctx, asking: Asking, model: str, version: str | None = None) -> dict[str, Any]:
    """A frozen model as Triton's model configuration; sizes leave out the rows, of which there may be any number."""
    served = context.model(model)
    if version is not None:
        await choose(context, asking, model, asking.home, version)
    spec = served.manifest.input
    return {
        "name": model,
        "platform": "",
        "backend": "foreoptic",
        "version_policy": {"all": {}},
        "max_batch_size": context.settings.infer_max_images,
        "input": [{"name": spec.name, "data_type": f"TYPE_{DATATYPES[spec.dtype]}", "dims": list(spec.item_shape)}],
        "output": [
            {"name": each.name, "data_type": f"TYPE_{DATATYPES[each.dtype]}", "dims": list(each.shape[1:])}
            for each in served.outputs
        ],
        "dynamic_batching": {},
        "parameters": {"frozen_sha256": {"string_value": served.row.frozen_sha256}},
    }


@router.api_route(
    "/systemsharedmemory/{rest:path}", methods=["GET", "POST"], include_in_schema=False, dependencies=READS
)
@router.api_route("/cudasharedmemory/{rest:path}", **NOT_OFFERED)
def shared_memory() -> None:
    """Not offered."""
    raise NotImplementedYet("shared memory is not offered; send the tensors in the request")


@router.api_route("/logging", **NOT_OFFERED)
@router.api_route("/trace/setting", **NOT_OFFERED)
@router.api_route("/models/{model}/trace/setting", **NOT_OFFERED)
def not_offered() -> None:
    """Not offered."""
    raise NotImplementedYet("logging and tracing are set where the service is started")


def _statistics(context: Context, model: str) -> list[dict[str, Any]]:
    return [
        _document(model, version, counts) for (name, version), counts in context.metrics.tally.items() if name == model
    ]


def _document(model: str, version: str, counts: Counts) -> dict[str, Any]:
    """In the statistics extension's words. Reading and writing tensors is part of no run, and not counted."""
    done, failed = counts.requests, sum(counts.failures.values())
    nothing = {"count": 0, "ns": 0}
    return {
        "name": model,
        "version": version,
        "last_inference": counts.last_ms,
        "inference_count": counts.images,
        "execution_count": counts.executions,
        "inference_stats": {
            "success": {"count": done, "ns": counts.request_ns},
            "fail": {"count": failed, "ns": counts.failure_ns},
            "queue": {"count": done, "ns": counts.queue_ns},
            "compute_input": {"count": done, "ns": 0},
            "compute_infer": {"count": done, "ns": counts.infer_ns},
            "compute_output": {"count": done, "ns": 0},
            "cache_hit": nothing,
            "cache_miss": nothing,
        },
        "response_stats": {},
        "batch_stats": [],
        "memory_usage": [],
    }
