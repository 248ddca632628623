"""Whether jobs get done, as `foreoptic worker --check` says it."""

import subprocess
import sys
import time

import pytest

from service.database import jobs
from service.database.engine import Database
from service.database.jobs import JobRow, State
from service.database.migrate import migrate
from service.jobs import health


@pytest.fixture
def database(settings):
    settings.home.mkdir(exist_ok=True)
    database = Database(settings.url)
    migrate(database)
    yield database
    database.close()


def add(database: Database, job_id: str, *, age_s: float, state: State = State.QUEUED) -> None:
    row = JobRow(job_id, "tiny", "default", "homogenizer", 0, 64, "", "", "", time.time() - age_s, state=state)
    with database.write() as connection:
        jobs.add(connection, row)


def test_a_home_without_a_worker_is_a_complaint(settings) -> None:
    assert "no worker works over" in health.complaint(settings)


def test_a_worker_that_has_ended_is_a_complaint(settings, database) -> None:
    health.hold(settings.home).close()

    assert "no worker works over" in health.complaint(settings)


def test_a_worker_in_another_process_is_seen_until_it_is_killed(settings, database) -> None:
    code = "import sys; from pathlib import Path; from service.jobs import health\n"
    code += "lock = health.hold(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(settings.home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout.readline() == b"held\n"
        while_it_works = health.complaint(settings)
        worker.kill()

    assert while_it_works is None
    assert "no worker works over" in health.complaint(settings)


def test_the_look_leaves_the_lock_to_the_next_worker(settings, database) -> None:
    health.hold(settings.home).close()
    health.complaint(settings)

    with health.hold(settings.home):
        assert health.complaint(settings) is None


@pytest.mark.parametrize(
    ("open_jobs", "is_well"),
    [
        ({}, True),
        ({"young": (1.0, State.QUEUED)}, True),
        ({"old": (3600.0, State.QUEUED)}, False),
        ({"old": (3600.0, State.QUEUED), "busy": (3700.0, State.RUNNING)}, True),
        ({"done": (3600.0, State.SUCCEEDED)}, True),
    ],
    ids=["nothing to do", "just accepted", "nobody takes it", "another one runs", "all done"],
)
def test_a_worker_that_lets_jobs_lie_is_a_complaint(settings, database, open_jobs, is_well) -> None:
    for job_id, (age_s, state) in open_jobs.items():
        add(database, job_id, age_s=age_s, state=state)

    with health.hold(settings.home):
        complaint = health.complaint(settings)

    assert is_well == (complaint is None)
    assert is_well or "job old has waited for 3600 s" in complaint


def test_a_database_without_tables_is_a_complaint_and_not_a_crash(settings) -> None:
    settings.home.mkdir(exist_ok=True)
    with health.hold(settings.home):
        assert "database cannot be read" in health.complaint(settings)
