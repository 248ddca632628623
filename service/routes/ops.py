"""Health and metrics."""

from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.exc import SQLAlchemyError

from service.auth import Scope
from service.context import Context, Ctx
from service.database import jobs
from service.database.jobs import State
from service.errors import Unavailable
from service.metrics import CONTENT_TYPE
from service.needs import needs

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> dict[str, Any]:
    """Whether the process is worth keeping: that the event loop answers at all is the answer."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(context: Ctx) -> dict[str, Any]:
    """Whether predictions can be answered. A missing worker delays adaptations only, and is reported, not fatal."""
    if not context.is_ready:
        lacks_gpu = context.lacks_gpu
        raise Unavailable("a model computes on the cpu" if lacks_gpu else "no model is loaded", retry_after_s=1)
    return {
        "status": "ready",
        "models": context.registry.names(),
        "worker": {"managed": context.settings.worker, "pid": context.supervisor.pid},
    }


@router.get("/metrics", response_class=Response, dependencies=needs(Scope.OBSERVE, Scope.ADMIN, every_domain=True))
def metrics(context: Ctx) -> Response:
    """What Prometheus scrapes."""
    _count_jobs(context)
    context.metrics.ready.set(context.is_ready)
    return Response(context.metrics.render(), media_type=CONTENT_TYPE)


def _count_jobs(context: Context) -> None:
    try:
        with context.database.read() as connection:
            counts = jobs.count_by_state(connection)
    except SQLAlchemyError:
        # The other metrics are worth more than an error page; the last known counts stay.
        return
    for state in State:
        context.metrics.jobs.labels(state).set(counts.get(state, 0))
