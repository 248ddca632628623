"""The worker process: `python -m service.jobs`. Started by the service, or by `foreoptic worker` elsewhere."""

import argparse
import os
import signal
import threading

from service import log
from service.contract.lifeline import end_with_parent
from service.database.engine import Database
from service.database.migrate import migrate
from service.engine.tried import TriedStore
from service.jobs import health, queue
from service.jobs.worker import Worker
from service.settings import Settings


def main() -> None:
    """Do jobs until told to stop, or until the parent process ends if `--lifeline` is given."""
    parser = argparse.ArgumentParser(prog="python -m service.jobs", description=__doc__)
    parser.add_argument("--lifeline", action="store_true", help="end when standard input ends")
    if parser.parse_args().lifeline:
        end_with_parent()
    settings = Settings()
    log.configure(as_json=settings.log_json)
    work(settings)


def work(settings: Settings) -> None:
    """Do jobs in this process until interrupted; of several workers over one home, one works and the others wait."""
    # As a container's first process we would not hear it otherwise. There is nothing to put in order: jobs are durable,
    # and a trainer ends when our end of its standard input does.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Held until the process ends, however it ends.
    _lock = health.hold(settings.home)
    database = Database(settings.url)
    migrate(database)
    queue.prepare(database)
    worker = Worker(
        database,
        TriedStore(settings.store_dir, settings.tried_dir),
        settings.jobs_dir,
        timeout_s=settings.job_timeout_s,
        attempts=settings.job_attempts,
        threads=settings.job_threads,
    )
    worker.sweep()
    queue.work(database, worker.run, threading.Event())


if __name__ == "__main__":
    main()
