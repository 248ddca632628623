"""What the service does with a job that the worker has judged worth promoting: move the alias, or ask first."""

import time

from sqlalchemy import Connection

from service import log
from service.contract.errors import ContractError
from service.contract.verdict import Decision, Reason, ReasonCode, Verdict
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
        try:
            if domain is not None and domain.mode != Mode.AUTO:
                self._move(row, State.AWAITING_APPROVAL, step="awaiting approval")
            elif domain is not None and row.generation != domain.generation:
                self._hold(row)
            else:
                self._activate(row)
        except Overtaken:
            logger.info("job settled elsewhere", job=row.id)
        # One job that cannot be settled must not keep the others waiting, nor come back for ever.
        except Exception:
            logger.exception("job cannot be settled", job=row.id)
            self._refuse(row)

    def _hold(self, row: JobRow) -> None:
        """The domain changed while the job was fitted: its verdict compared with something that is no longer served."""
        assert row.verdict is not None
        verdict = Verdict.model_validate_json(row.verdict)
        text = (
            "the domain's aliases or settings changed while this was fitted; post the batch again, or activate by hand"
        )
        reasons = (Reason(code=ReasonCode.DOMAIN_CHANGED, text=text), *verdict.reasons)
        held = verdict.model_copy(update={"decision": Decision.HOLD, "reasons": reasons})
        self._move(row, State.SUCCEEDED, step="held", verdict=held.model_dump_json(), finished_at=time.time())

    def _refuse(self, row: JobRow) -> None:
        problem = "the version was published but could not be activated; the champion stays"
        self._move(row, State.FAILED, problem=problem, finished_at=time.time())

    def _move(self, row: JobRow, to: State, **values: object) -> None:
        with self._database.write() as connection:
            jobs.move(connection, row, to, **values)

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
            self._refuse(row)
