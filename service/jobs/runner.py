"""The trainer as a command: started, watched, and ended when its time is up or nobody wants it any more."""

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from service.contract.job import OUTCOME, JobOutcome, Progress

CHECK_S = 0.25
LOG = "trainer.log"
TRAINER = ("-m", "trainer", "adapt")


class TrainerFailed(Exception):
    """The trainer ended without an outcome."""


class TrainerKilled(Exception):
    """The trainer was ended by a signal from outside."""


class TrainerTimeout(Exception):
    """The trainer ran longer than allowed and was ended."""


class Unwanted(Exception):
    """The job was cancelled or taken over; the trainer was ended."""


def run_trainer(
    folder: Path,
    *,
    timeout_s: float,
    threads: int,
    on_progress: Callable[[Progress], bool],
    is_wanted: Callable[[], bool],
    program: Sequence[str] = TRAINER,
) -> JobOutcome:
    """Run `python -m trainer adapt FOLDER` and return what it leaves.

    Args:
        on_progress: told of every step; False ends the trainer.
        is_wanted: asked at least every CHECK_S seconds; False ends the trainer.
        program: arguments for the Python interpreter, in front of the folder.

    Raises:
        TrainerFailed, TrainerKilled, TrainerTimeout, Unwanted: see there.
    """
    deadline = time.monotonic() + timeout_s
    with (folder / LOG).open("wb") as log, _start(folder, threads, program, log) as process:
        try:
            lines = _read_lines(process)
            while True:
                if time.monotonic() > deadline:
                    raise TrainerTimeout(f"the fit took longer than the {timeout_s:g} s allowed")
                if not is_wanted():
                    raise Unwanted
                try:
                    line = lines.get(timeout=CHECK_S)
                except queue.Empty:
                    continue
                if line is None:
                    break
                progress = _parse(line)
                if progress is not None and not on_progress(progress):
                    raise Unwanted
        except BaseException:
            process.kill()
            raise
    return _outcome(folder, process.returncode)


def _start(folder: Path, threads: int, program: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, *program, str(folder), "--lifeline"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    # Only our own fixed words and a path that we chose; nothing of a client's reaches the command line.
    return subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment
    )


def _read_lines(process: subprocess.Popen[bytes]) -> "queue.Queue[bytes | None]":
    """Lines of standard output as they come; None at the end."""
    lines: queue.Queue[bytes | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, name="trainer-output", daemon=True).start()
    return lines


def _parse(line: bytes) -> Progress | None:
    try:
        return Progress.model_validate_json(line)
    except ValidationError:
        # A library of the trainer's may print; that must not end a fit.
        return None


def _outcome(folder: Path, exit_status: int) -> JobOutcome:
    path = folder / OUTCOME
    if exit_status < 0:
        raise TrainerKilled(f"the trainer was ended by signal {-exit_status}")
    if exit_status != 0 or not path.is_file():
        raise TrainerFailed(f"the trainer ended with status {exit_status}; see {LOG} in the job's folder")
    try:
        return JobOutcome.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise TrainerFailed("the trainer left an outcome that cannot be read") from error
