"""Whether adaptations get done: the lock that the one working worker holds, and the look from outside at its queue.

A worker that hangs cannot vouch for itself, so the look asks the operating system and the database, never the worker.
It changes nothing. What it cannot see is a worker that hangs in the middle of a job: its row says running.
"""

import fcntl
import time
from pathlib import Path
from typing import IO

from sqlalchemy.exc import SQLAlchemyError

from service.database import jobs
from service.database.engine import Database
from service.database.jobs import State
from service.settings import Settings

LOCK = "worker.lock"
PATIENCE_S = 60.0
"""A queued job is taken within a second; the gap between two jobs is as short."""


def hold(home: Path) -> IO[str]:
    """Wait until no other worker works over this home; the lock lasts until the file or the process ends."""
    lock = (home / LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def complaint(settings: Settings) -> str | None:
    """Why jobs do not get done, None if they do."""
    if not _is_held(settings.home / LOCK):
        return f"no worker works over {settings.home}; start one: foreoptic worker"
    try:
        return _stranded(settings)
    except SQLAlchemyError as error:
        return f"the worker's database cannot be read: {type(error).__name__}"


def _is_held(lock: Path) -> bool:
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _stranded(settings: Settings) -> str | None:
    database = Database(settings.url)
    try:
        with database.read() as connection:
            open_jobs = jobs.in_states(connection, (State.QUEUED, State.RUNNING))
    finally:
        database.close()
    waited_s = time.time() - open_jobs[0].created_at if open_jobs else 0.0
    if waited_s < PATIENCE_S or any(job.state == State.RUNNING for job in open_jobs):
        return None
    return f"job {open_jobs[0].id} has waited for {waited_s:.0f} s and none runs; restart the worker, its jobs stay"
