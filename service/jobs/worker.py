"""One job from claim to publication. Written to be repeated: a worker may die at any line and another starts over.

The trainer stages, the worker publishes, the service moves aliases. What the worker changes it changes in one
transaction that names the attempt: a worker which was overtaken changes nothing.
"""

import json
import shutil
import time
from pathlib import Path

from service import catalog, log
from service.contract.bundle import read_bundle, replace_synced, write_bundle
from service.contract.errors import ContractError
from service.contract.job import CHAMPION, JOB, MODEL, OUTCOME, STAGED, JobOutcome, JobSpec, Progress
from service.contract.manifest import CorrectorManifest
from service.contract.store import LocalStore
from service.contract.verdict import Decision, Verdict
from service.database import domains, jobs, versions
from service.database.engine import Database
from service.database.jobs import JobRow, State
from service.jobs.runner import TrainerFailed, TrainerKilled, TrainerTimeout, Unwanted, run_trainer

logger = log.get(__name__)

ORPHAN_AGE_S = 3600.0


class Worker:
    """Does jobs, one at a time."""

    def __init__(
        self, database: Database, store: LocalStore, jobs_dir: Path, *, timeout_s: float, attempts: int, threads: int
    ) -> None:
        self._database = database
        self._store = store
        self._jobs_dir = jobs_dir
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._threads = threads

    def run(self, job_id: str) -> None:
        """Do a job; a job that is finished, cancelled or given up already is left as it is."""
        while (row := self._claim(job_id)) is not None:
            logger.info("job started", job=job_id, model=row.model, domain=row.domain, attempt=row.attempt)
            try:
                self._attempt(row)
                break
            except TrainerKilled as error:
                # Someone or something from outside ended it (memory, an operator): the batch deserves another attempt.
                logger.error("trainer killed", job=job_id, reason=str(error))
        else:
            self._give_up(job_id)
        self._tidy(job_id)

    def sweep(self) -> None:
        """Remove what interrupted predecessors left. Call before the first job."""
        self._store.sweep()
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
        """One attempt, brought to an end whatever happens; only TrainerKilled is left to the caller."""
        try:
            self._publish(row, self._fit(row))
        except Unwanted:
            logger.info("job no longer wanted", job=row.id)
        except TrainerKilled:
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
        model = catalog.read_model(row.model, self._database, self._store)
        write_bundle(folder / MODEL, model.manifest, model.files)
        with self._database.read() as connection:
            domain = domains.find(connection, row.model, row.domain)
            number = domain.champion if domain else domains.IDENTITY
            version = versions.find(connection, row.frozen_sha256, number)
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

    def _give_up(self, job_id: str) -> None:
        with self._database.write() as connection:
            row = jobs.find(connection, job_id)
            if row is not None and row.state == State.RUNNING:
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
