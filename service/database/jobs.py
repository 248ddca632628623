"""Adaptation jobs and their events.

States and who moves them:

    queued ──worker──> running ──worker──> validating ──service──> succeeded
                          │                    └──service──> awaiting_approval ──service──> succeeded
                          └──worker──> succeeded (reject, hold) | failed
    queued, running, awaiting_approval ──service──> cancelled

Every move names the state that it starts from (and, for the worker, its attempt), so that a process which has been
overtaken changes nothing.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from service.database.tables import job_events, jobs


class State(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    VALIDATING = "validating"
    AWAITING_APPROVAL = "awaiting_approval"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINISHED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class JobRow:
    """One adaptation; `generation` is the domain's when the fit began: what the verdict compared with."""

    id: str
    model: str
    domain: str
    method: str
    seed: int
    images: int
    frozen_sha256: str
    batch_sha256: str
    body_sha256: str
    created_at: float
    idempotency_key: str | None = None
    state: str = State.QUEUED
    attempt: int = 0
    generation: int | None = None
    progress: float = 0.0
    step: str = "queued"
    verdict: str | None = None
    version: int | None = None
    problem: str | None = None
    timings: str = "{}"
    finished_at: float | None = None


def add(connection: Connection, row: JobRow) -> None:
    """Accept a job."""
    connection.execute(insert(jobs).values(**vars(row)))
    add_event(connection, row.id, "state", {"state": row.state})


def find(connection: Connection, job_id: str) -> JobRow | None:
    """One job."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    return JobRow(**row._mapping) if row else None


def find_by_key(connection: Connection, idempotency_key: str) -> JobRow | None:
    """The job that a caller made under an idempotency key."""
    row = connection.execute(select(jobs).where(jobs.c.idempotency_key == idempotency_key)).one_or_none()
    return JobRow(**row._mapping) if row else None


def in_states(connection: Connection, states: Iterable[State]) -> list[JobRow]:
    """Jobs in any of these states, oldest first."""
    query = select(jobs).where(jobs.c.state.in_([*states])).order_by(jobs.c.created_at)
    return [JobRow(**row._mapping) for row in connection.execute(query)]


def count_by_state(connection: Connection) -> dict[str, int]:
    """How many jobs are in each state."""
    query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
    return {state: int(count) for state, count in connection.execute(query)}


def claim(connection: Connection, job_id: str, *, most_attempts: int) -> JobRow | None:
    """Start another attempt at a queued or interrupted job; None if it is finished, cancelled or used up."""
    mine = jobs.c.id == job_id, jobs.c.state.in_([State.QUEUED, State.RUNNING]), jobs.c.attempt < most_attempts
    values = {"state": State.RUNNING, "attempt": jobs.c.attempt + 1, "progress": 0.0, "step": "starting"}
    if connection.execute(update(jobs).where(*mine).values(**values)).rowcount != 1:
        return None
    add_event(connection, job_id, "state", {"state": State.RUNNING})
    return find(connection, job_id)


def unsettled(connection: Connection, row: JobRow) -> bool:
    """Whether another job of the same domain waits for the service to move the alias."""
    same = jobs.c.model == row.model, jobs.c.domain == row.domain, jobs.c.state == State.VALIDATING
    return connection.execute(select(jobs.c.id).where(*same, jobs.c.id != row.id)).first() is not None


def start(connection: Connection, row: JobRow, generation: int) -> None:
    """Note which generation of its domain an attempt is judged against."""
    connection.execute(update(jobs).where(*_held(row, State.RUNNING)).values(generation=generation))


def report(connection: Connection, row: JobRow, *, progress: float, step: str, loss: float | None) -> bool:
    """Note progress of the attempt that `row` names; False if that attempt no longer holds the job."""
    statement = update(jobs).where(*_held(row, State.RUNNING)).values(progress=progress, step=step)
    if connection.execute(statement).rowcount != 1:
        return False
    add_event(connection, row.id, "progress", {"progress": progress, "step": step, "loss": loss})
    return True


def move(connection: Connection, row: JobRow, to: State, **values: Any) -> bool:
    """Move the attempt that `row` names from the state it is in to another; False if it has moved meanwhile."""
    statement = update(jobs).where(*_held(row, row.state)).values(state=to, **values)
    if connection.execute(statement).rowcount != 1:
        return False
    add_event(connection, row.id, "state", {"state": to})
    return True


def add_event(connection: Connection, job_id: str, kind: str, data: dict[str, Any]) -> None:
    """Append to what a follower of the job sees."""
    query = select(func.max(job_events.c.number)).where(job_events.c.job_id == job_id)
    number = (connection.execute(query).scalar() or 0) + 1
    connection.execute(insert(job_events).values(job_id=job_id, number=number, kind=kind, data=json.dumps(data)))


@dataclass(frozen=True)
class EventRow:
    """One event of one job."""

    number: int
    kind: str
    data: str


def events_after(connection: Connection, job_id: str, number: int) -> list[EventRow]:
    """Events of a job with a larger number, in order."""
    columns = job_events.c.number, job_events.c.kind, job_events.c.data
    query = select(*columns).where(job_events.c.job_id == job_id, job_events.c.number > number)
    return [EventRow(*row) for row in connection.execute(query.order_by(job_events.c.number))]


def _held(row: JobRow, state: str):  # type: ignore[no-untyped-def]  # as in domains.py
    return jobs.c.id == row.id, jobs.c.state == state, jobs.c.attempt == row.attempt
