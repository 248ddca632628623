"""The JSON documents of the native interface."""

import json
import math
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from service.contract.manifest import ModelManifest
from service.contract.verdict import Forecast, Verdict
from service.database.domains import DomainRow
from service.database.jobs import FINISHED, JobRow, State
from service.database.versions import VersionRow

LARGEST_VERSION = 2**31 - 1
"""What the database's integers hold."""


class ProblemResource(BaseModel):
    """Why a job failed, in the form of every other problem."""

    type: str = "urn:foreoptic:problem:adaptation-failed"
    title: str = "Adaptation failed"
    status: int = 422
    detail: str


class Adaptation(BaseModel):
    """One job."""

    id: str
    model: str
    domain: str
    method: str
    state: State
    finished: bool
    progress: float
    step: str
    images: int
    seed: int
    batch_sha256: str
    verdict: Verdict | None
    version: int | None
    forecast: Forecast | None
    timings: dict[str, float]
    problem: ProblemResource | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, row: JobRow) -> "Adaptation":
        """The resource of a row."""
        verdict = _shown(Verdict.model_validate_json(row.verdict)) if row.verdict else None
        return cls(
            id=row.id,
            model=row.model,
            domain=row.domain,
            method=row.method,
            state=State(row.state),
            finished=row.state in FINISHED,
            progress=row.progress,
            step=row.step,
            images=row.images,
            seed=row.seed,
            batch_sha256=row.batch_sha256,
            verdict=verdict,
            version=row.version,
            forecast=verdict.forecast if verdict else None,
            timings=json.loads(row.timings),
            problem=ProblemResource(detail=row.problem) if row.problem else None,
            created_at=moment(row.created_at),
            finished_at=moment(row.finished_at) if row.finished_at is not None else None,
        )


class Version(BaseModel):
    """One published corrector; version 0 is the identity."""

    version: int
    digest: str | None
    domain: str | None
    adaptation: str | None
    decision: str | None
    method: str | None
    created_at: datetime | None

    @classmethod
    def of(cls, row: VersionRow) -> "Version":
        """The resource of a row."""
        return cls(
            version=row.number,
            digest=row.digest,
            domain=row.domain,
            adaptation=row.job_id,
            decision=row.decision,
            method=row.method,
            created_at=moment(row.created_at),
        )

    @classmethod
    def identity(cls) -> "Version":
        """Version 0."""
        return cls(version=0, digest=None, domain=None, adaptation=None, decision=None, method=None, created_at=None)


class Domain(BaseModel):
    """One domain: where its aliases point and what becomes of new versions."""

    model: str
    domain: str
    mode: str
    canary_share: float
    aliases: dict[str, int | None]
    generation: int

    @classmethod
    def of(cls, row: DomainRow) -> "Domain":
        """The resource of a row."""
        aliases = {"champion": row.champion, "shadow": row.shadow, "previous": row.previous}
        return cls(
            model=row.model,
            domain=row.name,
            mode=row.mode,
            canary_share=row.canary_share,
            aliases=aliases,
            generation=row.generation,
        )


def model_resource(manifest: ModelManifest, *, correction_enabled: bool, domains: list[str]) -> dict[str, Any]:
    """One registered model."""
    return {
        "model": manifest.name,
        "frozen_sha256": manifest.frozen_sha256,
        "input": manifest.input.model_dump(mode="json"),
        "output": manifest.output.model_dump(mode="json"),
        "labels": list(manifest.labels),
        "fingerprint": manifest.fingerprint,
        "correction_enabled": correction_enabled,
        "domains": domains,
    }


def _shown(verdict: Verdict) -> Verdict:
    """The verdict without numbers that JSON cannot carry."""
    finite = {name: value for name, value in verdict.numbers.items() if math.isfinite(value)}
    return verdict.model_copy(update={"numbers": finite})


def moment(seconds: float) -> datetime:
    """A time of the database as UTC."""
    return datetime.fromtimestamp(seconds, UTC)
