"""One job from claim to publication. Written to be repeated: a worker may die at any line and another starts over.

The trainer stages, the worker publishes, the service moves aliases. What the worker changes it changes in one
transaction that names the attempt: a worker which was overtaken changes nothing.
"""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.exc import OperationalError

from service import catalog, log
from service.contract.bundle import read_bundle, replace_synced, write_bundle
from service.contract.errors import ContractError, TrialNotStarted
from service.contract.job import CHAMPION, JOB, MODEL, OUTCOME, STAGED, JobOutcome, JobSpec, Progress
from service.contract.manifest import IDENTITY, CorrectorManifest
from service.contract.store import LocalStore
from service.contract.verdict import Decision, Verdict
from service.database import domains, jobs, versions
from service.database.engine import Database
from service.database.jobs import JobRow, State
from service.jobs.runner import TrainerFailed, TrainerKilled, TrainerTimeout, Unwanted, run_trainer

logger = log.get(__name__)

ORPHAN_AGE_S = 3600.0
RETRY_S = 1.0
SETTLE_S, SETTLE_CHECK_S = 5.0, 0.05
TRANSIENT = (TrainerKilled, TrialNotStarted, OSError, OperationalError)
"""A trainer ended from outside (memory, an operator), a full disk, a locked database: may be over a moment later."""


class Worker:
    """Does jobs, one at a time.

    Args:
        timeout_s: after which a trainer is ended.
        attempts: starts of one job before it is given up.
        threads: of the trainer.
        pause: waits for that many seconds.
    """

    def __init__(
        self,
        database: Database,
        store: LocalStore,
        jobs_dir: Path,
        *,
        timeout_s: float,
        attempts: int,
        threads: int,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._database = database
        self._store = store
        self._jobs_dir = jobs_dir
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._threads = threads
        self._pause = pause

    def run(self, job_id: str) -> None:
        """Do a job; a job that is finished, cancelled or given up already is left as it is."""
        held = None
        while (row := self._claim(job_id)) is not None:
            held = row
            logger.info("job started", job=job_id, model=row.model, domain=row.domain, attempt=row.attempt)
            try:
                self._attempt(row)
                break
            except TRANSIENT as error:
                # The machine's fault and not the batch's: it deserves another attempt, after a moment.
                logger.error("attempt interrupted", job=job_id, reason=str(error))
                self._pause(RETRY_S)
        else:
            self._give_up(job_id, held)
        self._tidy(job_id)

    def sweep(self) -> None:
        """Remove what interrupted predecessors left. Call before the first job."""
        self._store.sweep(older_than_s=ORPHAN_AGE_S)
        self._jobs_dir.mkdir(parents=True, exist_ok=True)
        with self._database.read() as connection:
            finished = {row.id for row in jobs.in_states(connection, jobs.FINISHED)}
            pending = {row.id for row in jobs.in_states(connection, set(State) - set(jobs.FINISHED))}
        for folder in self._jobs_dir.iterdir():
            # A young folder without a row may belong to a batch that is being accepted this very moment.
            orphan = folder.name not in pending and time.time() - folder.stat().st_mtime > ORPHAN_AGE_S
            if folder.name in finished or orphan:
                self._tidy(folder.name)

    def _claim(self, job_id: str) -> JobRow | None:
        with self._database.write() as connection:
            return jobs.claim(connection, job_id, most_attempts=self._attempts)

    def _attempt(self, row: JobRow) -> None:
        """One attempt, brought to an end whatever happens; only what is TRANSIENT is left to the caller."""
        try:
            self._publish(row, self._fit(row))
        except Unwanted:
            logger.info("job no longer wanted", job=row.id)
        except TRANSIENT:
            raise
        except (TrainerTimeout, TrainerFailed, ContractError) as error:
            logger.error("job failed", job=row.id, reason=str(error))
            self._fail(row, str(error))
        # The queue would repeat a job that raises for ever; a defect of ours fails the job and is logged in full.
        except Exception:
            logger.exception("job failed", job=row.id)
            self._fail(row, "the worker met a defect; its log has the details under this job's id")

    def _fit(self, row: JobRow) -> JobOutcome:
        folder = self._jobs_dir / row.id
        self._equip(row, folder)

        def note(progress: Progress) -> bool:
            with self._database.write() as connection:
                return jobs.report(connection, row, progress=progress.share, step=progress.step, loss=progress.loss)

        def is_wanted() -> bool:
            with self._database.read() as connection:
                now = jobs.find(connection, row.id)
            return now is not None and now.state == State.RUNNING and now.attempt == row.attempt

        return run_trainer(
            folder, timeout_s=self._timeout_s, threads=self._threads, on_progress=note, is_wanted=is_wanted
        )

    def _equip(self, row: JobRow, folder: Path) -> None:
        """Put into the job's folder all that the trainer reads, and remove what an earlier attempt left."""
        for name in (MODEL, CHAMPION, STAGED):
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / OUTCOME).unlink(missing_ok=True)
        self._await_settlement(row)
        model = catalog.read_model(row.model, self._database, self._store)
        write_bundle(folder / MODEL, model.manifest, model.files)
        with self._database.read() as connection:
            domain = domains.find(connection, row.model, row.domain)
            number = domain.champion if domain else IDENTITY
            version = versions.find(connection, row.frozen_sha256, number)
        with self._database.write() as connection:
            jobs.start(connection, row, domain.generation if domain else 0)
        if version is not None:
            champion = self._store.read(version.digest, CorrectorManifest)
            write_bundle(folder / CHAMPION, champion.manifest, champion.files)
        spec = JobSpec(
            id=row.id,
            model=row.model,
            domain=row.domain,
            method=row.method,
            seed=row.seed,
            frozen_sha256=row.frozen_sha256,
            batch_sha256=row.batch_sha256,
            threads=self._threads,
        )
        replace_synced(folder / JOB, spec.model_dump_json().encode())

    def _await_settlement(self, row: JobRow) -> None:
        """Give the service a moment to settle the domain's previous job: its version is what this one must beat."""
        for _ in range(int(SETTLE_S / SETTLE_CHECK_S)):
            with self._database.read() as connection:
                if not jobs.unsettled(connection, row):
                    return
            self._pause(SETTLE_CHECK_S)

    def _publish(self, row: JobRow, outcome: JobOutcome) -> None:
        if outcome.verdict is None:
            self._fail(row, outcome.problem or "the trainer gave no verdict")
            return
        verdict = outcome.verdict
        staged = self._jobs_dir / row.id / STAGED
        digest = None
        if verdict.decision is not Decision.REJECT:
            digest = self._store.publish(read_bundle(staged, CorrectorManifest))
        to = State.VALIDATING if verdict.decision is Decision.PROMOTE else State.SUCCEEDED
        with self._database.write() as connection:
            number = versions.next_number(connection, row.frozen_sha256) if digest else None
            moved = jobs.move(connection, row, to, **_result(outcome, verdict, number, done=to is State.SUCCEEDED))
            if moved and digest is not None and number is not None:
                versions.add(connection, _version(row, number, digest, verdict))
        if moved:
            logger.info("job judged", job=row.id, decision=verdict.decision, version=number)

    def _fail(self, row: JobRow, problem: str) -> None:
        with self._database.write() as connection:
            jobs.move(connection, row, State.FAILED, problem=problem, finished_at=time.time())

    def _give_up(self, job_id: str, held: JobRow | None) -> None:
        """Fail a job whose attempts are used up, unless another worker is at its last one."""
        with self._database.write() as connection:
            row = jobs.find(connection, job_id)
            if row is not None and row.state == State.RUNNING and (held is None or held.attempt == row.attempt):
                problem = f"given up after {row.attempt} attempts that were interrupted"
                jobs.move(connection, row, State.FAILED, problem=problem, finished_at=time.time())

    def _tidy(self, job_id: str) -> None:
        """Remove the batch and all copies, and keep the trainer's log: target images live no longer than their job."""
        folder = self._jobs_dir / job_id
        with self._database.read() as connection:
            row = jobs.find(connection, job_id)
        if row is not None and row.state in (State.QUEUED, State.RUNNING):
            return
        for entry in folder.iterdir() if folder.is_dir() else ():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.suffix != ".log":
                entry.unlink(missing_ok=True)


def _result(outcome: JobOutcome, verdict: Verdict, number: int | None, *, done: bool) -> dict[str, object]:
    return {
        "verdict": verdict.model_dump_json(),
        "version": number,
        "timings": json.dumps(outcome.timings),
        "progress": 1.0,
        "step": "judged",
        "finished_at": time.time() if done else None,
    }


def _version(row: JobRow, number: int, digest: str, verdict: Verdict) -> versions.VersionRow:
    return versions.VersionRow(
        row.frozen_sha256, number, digest, row.domain, row.id, verdict.decision, row.method, time.time()
    )
