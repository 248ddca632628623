"""The durable queue, on DBOS Transact: the only file that knows it.

A job enters in the same transaction as its row. It is started again after a crash until it returns; `Worker.run` is
therefore written to be repeated. Arguments are job ids, kept as JSON.
"""

import threading
from collections.abc import Callable

from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, run_dbos_database_migrations
from sqlalchemy import Connection

from service import log
from service.database.engine import Database

NAME = "foreoptic"
QUEUE = "adaptations"
WORKFLOW = "adapt"
# Fixed: a job that was accepted before an upgrade must run after it.
VERSION = "1"
POLL_S = 0.2
RETRY_S = 2.0

logger = log.get(__name__)


def prepare(database: Database) -> None:
    """Create or upgrade the queue's own tables, beside ours."""
    run_dbos_database_migrations(database.url)


class JobQueue:
    """The service's end: puts jobs in."""

    def __init__(self, database: Database) -> None:
        self._client = DBOSClient(
            system_database_url=database.url, serializer=DBOSPortableJSONSerializer(), application_name=NAME
        )

    def enqueue(self, connection: Connection, job_id: str) -> None:
        """Put a job in as part of the caller's transaction; a job that is in already stays as it is."""
        self._client.enqueue_in_transaction(
            connection,
            {"workflow_name": WORKFLOW, "queue_name": QUEUE, "workflow_id": job_id, "app_version": VERSION},
            job_id,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._client.destroy()


def work(database: Database, run: Callable[[str], None], stop: threading.Event) -> None:
    """The worker's end: call `run` with one job id at a time until `stop` is set.

    Jobs that an earlier worker left unfinished come first.
    """
    config: DBOSConfig = {
        "name": NAME,
        "system_database_url": database.url,
        "serializer": DBOSPortableJSONSerializer(),
        "application_version": VERSION,
        "executor_id": "worker",
        "log_level": "WARNING",
        "use_listen_notify": True,
    }
    DBOS(config=config)

    # DBOS marks the function that it is given, and a bound method cannot be marked.
    @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=100)
    def adapt(job_id: str) -> None:
        while not stop.is_set():
            try:
                run(job_id)
                return
            # DBOS never repeats a workflow that raised, and an accepted batch must not be lost to a locked database.
            except Exception:
                logger.exception("job interrupted; it starts again", job=job_id)
                stop.wait(RETRY_S)

    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=POLL_S, on_conflict="always_update")
    try:
        stop.wait()
    finally:
        DBOS.destroy()
