"""`python -m trainer adapt JOB_DIR`: how the worker calls the trainer. People use `foreoptic`."""

import argparse
import os
import sys
from pathlib import Path

from service.contract.bundle import replace_synced
from service.contract.job import JOB, OUTCOME, JobOutcome, JobSpec, Progress
from service.contract.lifeline import end_with_parent
from trainer.plugins import known_methods

NICENESS = 10
"""Predictions on the same machine go first."""


def main() -> None:
    """Do one job; progress goes to standard output as JSON lines, everything else to standard error."""
    parser = argparse.ArgumentParser(prog="python -m trainer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    adapt = commands.add_parser("adapt", help="do the job in a folder")
    adapt.add_argument("folder", type=Path)
    adapt.add_argument("--lifeline", action="store_true", help="end when standard input ends")
    arguments = parser.parse_args()
    if arguments.lifeline:
        end_with_parent()
        os.nice(NICENESS)
    run_job(arguments.folder)


def run_job(folder: Path) -> None:
    """Do the job; a method that the trainer does not have, or cannot do here, is reported as the caller's problem."""
    print_progress(Progress(share=0.0, step="load"))
    job = JobSpec.model_validate_json((folder / JOB).read_bytes())
    # Before torch is loaded, which takes a second or two: an unknown method is answered at once.
    if job.method not in known_methods():
        _give_up(folder, f"this trainer knows the methods {', '.join(known_methods())}")
        return
    from trainer.run import adapt
    from trainer.task import NoSource

    try:
        adapt(folder, print_progress)
    except NoSource as error:
        _give_up(folder, str(error))


def _give_up(folder: Path, problem: str) -> None:
    replace_synced(folder / OUTCOME, JobOutcome(problem=problem).model_dump_json().encode())


def print_progress(progress: Progress) -> None:
    """One JSON line."""
    sys.stdout.write(progress.model_dump_json() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
