"""Rule 6: no data becomes code. Every process of a service is watched by Python's own audit hook while it works."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from foreoptic.client import Client
from service.catalog import install
from service.contract.store import LocalStore
from service.database.engine import Database
from service.database.migrate import migrate
from tests.conftest import TINY, random_rows
from tests.test_processes import finish, started

ROOT = Path(__file__).parents[2]
HOOK = ROOT / "tests" / "attacks" / "audit"

SERVICE = {"service", "service.jobs"}
HARMLESS = {
    # Python's own start of `python -m`.
    ("exec", "runpy._run_code"),
    # numpy reads the header of an .npy as a literal: it is parsed, and nothing of it is run.
    ("compile", "ast.parse", "ast.literal_eval"),
    # SQLAlchemy writes accessors for its own classes, out of its own words.
    ("compile", "sqlalchemy.util.langhelpers.exec_code_in_env"),
    ("exec", "sqlalchemy.util.langhelpers.exec_code_in_env"),
}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the processes that are started from here write their events."""
    monkeypatch.setenv("PYTHONPATH", f"{HOOK}:{ROOT}")
    monkeypatch.setenv("AUDIT_LOG", str(tmp_path / "audit.log"))
    return tmp_path / "audit.log"


def events(log: Path) -> list[list[str]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def is_harmless(event: list[str]) -> bool:
    return any(tuple(event[1 : 1 + len(known)]) == known for known in HARMLESS)


def npy(x: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, x)
    return buffer.getvalue()


def npz(x: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=x)
    return buffer.getvalue()


def picture_of(row: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((row[0] * 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(x: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for index, row in enumerate(x):
            archive.writestr(f"{index}.png", picture_of(row))
    return buffer.getvalue()


def test_the_watch_sees_what_it_must(log: Path) -> None:
    code = "import pickle, marshal\npickle.loads(b'cbuiltins\\nlen\\n.')\nmarshal.loads(marshal.dumps(1))\nexec('1')\n"
    subprocess.run([sys.executable, "-c", code], check=True)

    assert {event[1] for event in events(log) if not is_harmless(event)} == {
        "pickle.find_class",
        "marshal.loads",
        "compile",
        "exec",
    }


def test_a_service_at_work_turns_no_data_into_code(log: Path, tmp_path: Path, tiny) -> None:
    home = tmp_path / "home"
    database = Database(f"sqlite:///{home / 'foreoptic.db'}")
    migrate(database)
    install(tiny, database, LocalStore(home / "store"))
    database.close()
    images = random_rows(96, 5) * np.float32(0.4) + np.float32(0.3)
    bodies = {"application/x-npy": npy(images), "application/x-npz": npz(images), "application/zip": pictures(images)}

    with started(home) as process, Client(process.url, TINY) as client:
        first, *others = [
            client.adapt(body, content_type=kind, domain="default")["id"] for kind, body in bodies.items()
        ]
        assert [httpx.post(f"{process.url}/v1/adaptations/{job}/cancel").is_success for job in others] == [True, True]
        job = finish(client, first)
    with started(home) as process, httpx.Client(base_url=process.url) as http:
        answer = http.post(f"/v1/models/{TINY}/predict", content=picture_of(images[0]))

    seen = events(log)
    assert job["state"] == "succeeded", job
    assert answer.status_code == 200
    assert SERVICE <= {event[0] for event in seen}
    assert [] == [event for event in seen if not is_harmless(event)]


def test_the_queue_keeps_its_arguments_as_json(service) -> None:
    buffer = npy(random_rows(64))
    job = service.http.post(
        f"/v1/models/{TINY}/domains/default/adaptations", content=buffer, headers={"content-type": "application/x-npy"}
    ).json()["id"]

    with service.context.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT inputs FROM workflow_input").all()

    assert [json.loads(inputs)["positionalArgs"] for (inputs,) in rows] == [[job]]


class Trap:
    """Runs something when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("data was unpickled",))


def pickled_npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Trap()] * 64, dtype=object), allow_pickle=True)
    return buffer.getvalue()


def pickled_npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([Trap()] * 64, dtype=object))
    return buffer.getvalue()


PICKLED = {"application/x-npy": pickled_npy(), "application/x-npz": pickled_npz()}


@pytest.mark.parametrize("kind", PICKLED)
def test_a_pickle_in_a_batch_is_refused(shared_service, kind: str) -> None:
    path = f"/v1/models/{TINY}/domains/default/adaptations"

    answer = shared_service.http.post(path, content=PICKLED[kind], headers={"content-type": kind})

    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
