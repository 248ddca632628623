"""The processes as they run for real: service, worker and trainer, each killed at work.

What was accepted is done in the end, whoever dies; nobody outlives the service.
"""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from foreoptic.client import Client
from service.catalog import install
from service.contract.store import LocalStore
from service.database import jobs
from service.database.engine import Database
from service.database.migrate import migrate
from tests.conftest import TINY, random_rows

LIMIT_S = 60


class Process:
    """A service in a process of its own."""

    def __init__(self, home: Path) -> None:
        environment = {**os.environ, "FOREOPTIC_HOME": str(home), "FOREOPTIC_PORT": "0"}
        self.log = (home / "service.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service", "--lifeline"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().decode().strip()
        assert self.url, (home / "service.log").read_text()

    def worker(self) -> int:
        """Process id of the worker, once it has been started."""
        with httpx.Client(base_url=self.url) as http:
            for _ in range(200):
                pid = http.get("/readyz").json()["worker"]["pid"]
                if pid is not None:
                    return pid
        raise AssertionError("the worker was not started")

    def end(self) -> None:
        """Stop as an operator would."""
        self.process.terminate()
        self.process.wait(LIMIT_S)
        for pipe in (self.process.stdin, self.process.stdout, self.log):
            pipe.close()

    def kill(self) -> None:
        """Stop as a power cut would."""
        self.process.kill()
        self.end()


@contextmanager
def started(home: Path) -> Iterator[Process]:
    process = Process(home)
    try:
        yield process
    finally:
        process.end()


@pytest.fixture
def home(tmp_path, tiny) -> Path:
    home = tmp_path / "home"
    database = Database(f"sqlite:///{home / 'foreoptic.db'}")
    migrate(database)
    install(tiny, database, LocalStore(home / "store"))
    database.close()
    return home


def post(client: Client) -> str:
    buffer = io.BytesIO()
    np.save(buffer, random_rows(96, 5) * np.float32(0.4) + np.float32(0.3))
    return client.adapt(buffer.getvalue(), content_type="application/x-npy", domain="default")["id"]


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found


def is_gone(pid: int) -> bool:
    """Wait for a process that is not our child; pidfd becomes readable when it ends."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    import select

    ready, _, _ = select.select([descriptor], [], [], LIMIT_S)
    os.close(descriptor)
    return bool(ready)


def until_fitting(client: Client, job_id: str) -> None:
    """Return when the trainer has reported for the first time."""
    for event in client.follow(job_id):
        if "progress" in event:
            return


def finish(client: Client, job_id: str) -> dict:
    for _ in client.follow(job_id):
        pass
    return client.adaptation(job_id)


def attempts(home: Path, job_id: str) -> int:
    database = Database(f"sqlite:///{home / 'foreoptic.db'}")
    with database.read() as connection:
        row = jobs.find(connection, job_id)
    database.close()
    return row.attempt


def test_a_killed_worker_is_replaced_and_its_job_done(home) -> None:
    with started(home) as process, Client(process.url, TINY) as client:
        job_id = post(client)
        until_fitting(client, job_id)
        worker = process.worker()
        (trainer,) = children(worker)
        os.kill(worker, signal.SIGKILL)

        job = finish(client, job_id)

        assert job["state"] == "succeeded", job
        assert attempts(home, job_id) == 2
        assert is_gone(trainer)
        assert process.worker() != worker


def test_a_killed_trainer_is_started_again(home) -> None:
    with started(home) as process, Client(process.url, TINY) as client:
        job_id = post(client)
        until_fitting(client, job_id)
        (trainer,) = children(process.worker())
        os.kill(trainer, signal.SIGKILL)

        job = finish(client, job_id)

        assert job["state"] == "succeeded", job
        assert attempts(home, job_id) == 2


def test_a_killed_service_takes_everyone_along_and_its_successor_does_the_job(home) -> None:
    first = Process(home)
    with Client(first.url, TINY) as client:
        job_id = post(client)
        until_fitting(client, job_id)
    worker = first.worker()
    family = [worker, *children(worker)]
    first.kill()

    assert all(is_gone(pid) for pid in family)
    with started(home) as second, Client(second.url, TINY) as client:
        job = finish(client, job_id)
        number = client.domain("default")["aliases"]["champion"]

    assert job["state"] == "succeeded", job
    assert number == (job["version"] if job["verdict"]["decision"] == "promote" else 0)


def test_a_cancelled_job_ends_its_trainer(home) -> None:
    with started(home) as process, Client(process.url, TINY) as client:
        job_id = post(client)
        until_fitting(client, job_id)
        (trainer,) = children(process.worker())

        with httpx.Client(base_url=process.url) as http:
            cancelled = http.post(f"/v1/adaptations/{job_id}/cancel").json()

        assert cancelled["state"] == "cancelled"
        assert is_gone(trainer)
        assert client.adaptation(job_id)["state"] == "cancelled"


def test_a_stop_in_order_ends_the_worker_and_leaves_with_status_0(home) -> None:
    process = Process(home)
    worker = process.worker()

    process.end()

    assert is_gone(worker)
    assert process.process.returncode == 0
