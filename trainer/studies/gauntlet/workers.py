"""Doing many jobs, in this process or in several, each with one thread; what is done is kept at once.

An interrupted run loses the jobs that were being done, and goes on with them when it is asked for again.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from service.contract.job import Progress
from trainer.studies.gauntlet.jobs import Job, Terms, key_of
from trainer.studies.gauntlet.materials import Files, Material, digest_of, load_material
from trainer.studies.gauntlet.records import Record, find_record, keep_record
from trainer.studies.gauntlet.runs import measure_job
from trainer.task import Report

Advance = Callable[[float, str], None]
"""Told the share of jobs that is behind, and what is being done."""


class WorkerDied(Exception):
    """A worker's process ended in the middle of a job."""


@dataclass(frozen=True)
class Run:
    """What a worker must know.

    Attributes:
        folder: of the records. program: see `program_digest`.
    """

    files: Files
    terms: Terms
    folder: Path
    program: str

    def key(self, job: Job) -> str:
        """Name of the job's record."""
        return key_of(job, self.terms, _digest(job.material, self.files))


def run_all(run: Run, jobs: Sequence[Job], *, workers: int, advance: Advance) -> list[Record]:
    """Every record, in the order of the jobs; those that are there are not made again.

    Raises:
        DatasetError: a file is of another form, or has too few images.
        WorkerDied: by the hand of the system, most likely.
    """
    missing = [job for job in jobs if find_record(run.folder, run.key(job)) is None]
    if workers > 1 and len(missing) > 1:
        _run_in_processes(run, missing, workers, advance)
    else:
        _run_here(run, missing, advance)
    return found_records(run, jobs)


def found_records(run: Run, jobs: Sequence[Job]) -> list[Record]:
    """The records that there are, in the order of the jobs."""
    return [record for job in jobs if (record := find_record(run.folder, run.key(job))) is not None]


def _run_here(run: Run, jobs: Sequence[Job], advance: Advance) -> None:
    threads = torch.get_num_threads()
    try:
        for index, job in enumerate(jobs):

            def report(progress: Progress, index: int = index, job: Job = job) -> None:
                advance((index + progress.share) / len(jobs), f"{job.words}: {progress.step}")

            _do(run, job, report)
    finally:
        torch.set_num_threads(threads)


def _run_in_processes(run: Run, jobs: Sequence[Job], workers: int, advance: Advance) -> None:
    with _pool(min(workers, len(jobs))) as pool:
        futures: dict[Future[None], Job] = {pool.submit(_do, run, job): job for job in jobs}
        advance(0.0, f"{len(jobs)} jobs in {workers} processes")
        for done, future in enumerate(as_completed(futures), 1):
            future.result()
            advance(done / len(jobs), f"{futures[future].words} done, {done} of {len(jobs)}")


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes, for torch's threads do not survive a fork; ended at once if anything goes wrong."""
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    # Ctrl-C reaches every process of a terminal: the workers leave it to the one that ends them.
    quiet = (signal.SIGINT, signal.SIG_IGN)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=signal.signal, initargs=quiet)
    try:
        yield pool
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        # Only now, for it waits for them, and nobody wants to wait for their jobs.
        pool.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            words = "a worker's process was ended, most likely for want of memory; what is done is kept"
            raise WorkerDied(f"{words}; give fewer --workers") from error
        raise
    pool.shutdown()


def _do(run: Run, job: Job, report: Report = lambda _progress: None) -> None:
    record = measure_job(_material(job.material, run.files), job, run.terms, run.program, report)
    keep_record(run.folder, run.key(job), record)


@lru_cache
def _material(name: str, files: Files) -> Material:
    return load_material(name, files)


@lru_cache
def _digest(name: str, files: Files) -> str:
    return digest_of(name, files)
