"""What the service does with a job that the worker has judged worth promoting: move the alias, or ask first."""

import time

from sqlalchemy import Connection

from service import log
from service.contract.errors import ContractError
from service.database import domains, jobs
from service.database.domains import Mode
from service.database.engine import Database
from service.database.jobs import JobRow, State
from service.engine.session import SessionError
from service.registry import Registry, Stale, Unknown

logger = log.get(__name__)


class Overtaken(Exception):
    """The job was cancelled or settled by someone else."""


class Settlement:
    """Brings judged jobs to their end."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._registry = registry

    def settle_all(self) -> None:
        """Settle every job in state `validating`; one that fails does not keep the others waiting."""
        with self._database.read() as connection:
            waiting = jobs.in_states(connection, [State.VALIDATING])
        for row in waiting:
            self._settle(row)

    def approve(self, row: JobRow) -> None:
        """Activate what waits for approval.

        Raises:
            Overtaken: it no longer waits.
        """
        self._activate(row)

    def _settle(self, row: JobRow) -> None:
        with self._database.read() as connection:
            domain = domains.find(connection, row.model, row.domain)
        if domain is not None and domain.mode == Mode.RECOMMEND:
            with self._database.write() as connection:
                jobs.move(connection, row, State.AWAITING_APPROVAL, step="awaiting approval")
            return
        try:
            self._activate(row)
        except Overtaken:
            logger.info("job settled elsewhere", job=row.id)

    def _activate(self, row: JobRow) -> None:
        assert row.version is not None

        def finish(connection: Connection) -> None:
            if not jobs.move(connection, row, State.SUCCEEDED, step="active", finished_at=time.time()):
                raise Overtaken

        try:
            self._registry.activate(row.model, row.domain, row.version, also=finish)
        except Stale:
            # Someone moved an alias in between; the job is still waiting and the next round tries again.
            return
        except (Unknown, ContractError, SessionError) as error:
            logger.error("version refused", job=row.id, version=row.version, reason=str(error))
            with self._database.write() as connection:
                problem = "the version was published but could not be activated; the champion stays"
                jobs.move(connection, row, State.FAILED, problem=problem, finished_at=time.time())
