"""Hostile graphs at the three doors: `register`, the worker's publication, the service's first load.

Each is refused at the first door that it meets, leaves nothing behind, and the service goes on serving.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from foreoptic.cli import app
from service.catalog import install
from service.contract.bundle import MANIFEST, Bundle, describe, write_bundle
from service.contract.digest import sha256_hex
from service.contract.errors import ContractError
from service.contract.job import STAGED, JobOutcome
from service.contract.manifest import CorrectorManifest, ModelManifest
from service.contract.store import LocalStore
from service.contract.verdict import Decision, Verdict
from service.database import domains, jobs, models, versions
from service.database.engine import Database
from service.database.migrate import migrate
from service.engine.tried import TriedStore
from service.jobs import queue
from service.jobs.queue import JobQueue
from service.jobs.submission import PostedBatch, Submission
from service.jobs.worker import Worker
from tests.attacks.hostile_graphs import BEYOND_CORRECTORS, DAMAGED, EXTERNAL, FOREIGN, TOO_LARGE, UNREADABLE
from tests.attacks.test_attack_trials import DEVOURING, UNFIT
from tests.conftest import TINY, random_rows, running

MakeCorrector = Callable[..., Bundle[CorrectorManifest]]

HOSTILE_MODELS = {
    "outside_in_an_initializer": (EXTERNAL["initializer"], "keeps its data outside"),
    "outside_in_a_function": (EXTERNAL["function"], "keeps its data outside"),
    "a_terabyte_claimed": (TOO_LARGE["tensor_of_a_trillion_and_one_byte"], "bytes; at most"),
    "a_terabyte_made": (TOO_LARGE["constant_of_shape"], "bytes; at most"),
    "a_terabyte_computed": (DEVOURING["constant_of_shape"], "fails on this batch"),
    "a_foreign_operator": (FOREIGN["python_operator"], "no operator that a model may use"),
    "damaged_weights": (DAMAGED["too_little_raw_data"], "export the model again"),
    "no_graph": (UNREADABLE["pickle"], "no ONNX model"),
}


@pytest.mark.parametrize(("content", "words"), HOSTILE_MODELS.values(), ids=HOSTILE_MODELS.keys())
def test_register_refuses_a_hostile_file_in_one_line_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, words: str
) -> None:
    monkeypatch.setenv("FOREOPTIC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "1000")
    file = tmp_path / "model.onnx"
    file.write_bytes(content)

    done = CliRunner().invoke(app, ["register", str(file), "--name", "hostile"])

    assert done.exit_code == 1
    assert words in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert [] == list((tmp_path / "home").rglob("model.onnx"))


def test_register_refuses_a_file_beyond_two_gigabytes_without_reading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREOPTIC_HOME", str(tmp_path / "home"))
    file = tmp_path / "model.onnx"
    with file.open("wb") as hole:
        hole.truncate(1 << 40)

    done = CliRunner().invoke(app, ["register", str(file), "--name", "hostile"])

    assert done.exit_code == 1
    assert "1099511627776 bytes" in done.output.replace("\n", "")


# The worker: the trainer is a process that read a client's images, and what it stages is not believed.


@pytest.fixture
def bench(settings, tiny) -> Iterator[tuple[Database, Worker, jobs.JobRow]]:
    """A worker and a job that it has claimed."""
    database = Database(settings.url)
    migrate(database)
    queue.prepare(database)
    store = TriedStore(settings.store_dir, settings.tried_dir)
    install(tiny, database, store)
    job_queue = JobQueue(database)
    submission = Submission(database, job_queue, settings.jobs_dir, limit=3, domain_limit=2, seed=7)
    sha256 = tiny.manifest.frozen_sha256
    row = submission.accept(
        PostedBatch(TINY, "default", "homogenizer", sha256, random_rows(64), None, sha256_hex(b""), None)
    )
    with database.write() as connection:
        claimed = jobs.claim(connection, row.id, most_attempts=2)
        jobs.start(connection, claimed, domains.find(connection, TINY, "default").generation)
    yield database, Worker(database, store, settings.jobs_dir, timeout_s=60, attempts=2, threads=1), claimed
    job_queue.close()
    database.close()


HOSTILE_CORRECTORS = {
    "loop": BEYOND_CORRECTORS["loop"],
    "if": BEYOND_CORRECTORS["if"],
    "scan": BEYOND_CORRECTORS["scan"],
    "reads_a_file": EXTERNAL["attribute"],
    "devours_memory": DEVOURING["tile"],
    "another_shape": UNFIT["another_shape"],
}


@pytest.mark.parametrize("content", HOSTILE_CORRECTORS.values(), ids=HOSTILE_CORRECTORS.keys())
def test_the_worker_publishes_no_hostile_corrector(
    bench, settings, make_corrector: MakeCorrector, content: bytes
) -> None:
    database, worker, row = bench
    forged = make_corrector(**{"corrector.onnx": content})
    write_bundle(settings.jobs_dir / row.id / STAGED, forged.manifest, forged.files)
    before = set(settings.store_dir.iterdir())

    with pytest.raises(ContractError):
        worker._publish(row, JobOutcome(verdict=Verdict(decision=Decision.PROMOTE, reasons=(), numbers={})))

    with database.read() as connection:
        assert [] == versions.of_model(connection, row.frozen_sha256)
    assert before == set(settings.store_dir.iterdir())


# The service: what somebody put into store and database behind everybody's back.


@pytest.mark.parametrize("content", HOSTILE_CORRECTORS.values(), ids=HOSTILE_CORRECTORS.keys())
def test_a_hostile_corrector_is_not_activated_and_the_champion_stays(
    shared_service, make_corrector: MakeCorrector, content: bytes, bare
) -> None:
    number = shared_service.publish(make_corrector(**{"corrector.onnx": content}))
    path = f"/v1/models/{TINY}/domains/default"

    answer = shared_service.http.post(f"{path}/activate", json={"version": number})

    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert shared_service.http.get(path).json()["aliases"]["champion"] == 0
    assert shared_service.infer(random_rows(1), version=str(number)).status_code >= 400
    x = random_rows(3)
    served = np.float32(shared_service.infer(x).json()["outputs"][0]["data"]).reshape(3, -1)
    assert np.array_equal(served, bare(x))


def smuggled(tiny: Bundle[ModelManifest], content: bytes) -> Bundle[ModelManifest]:
    """A model's bundle in which every digest is right and the graph is not."""
    files = {**tiny.files, "model.onnx": content}
    manifest = tiny.manifest.model_copy(
        update={"name": "smuggled", "frozen_sha256": sha256_hex(content), "files": describe(files)}
    )
    return Bundle(sha256_hex(manifest.to_bytes()), manifest, files)


@pytest.mark.parametrize(
    "content",
    [EXTERNAL["sub_graph"], DEVOURING["constant_of_shape"], TOO_LARGE["functions_that_double"], FOREIGN["trees"]],
    ids=["outside", "devours_memory", "doubles", "trees"],
)
def test_a_hostile_model_is_not_loaded_and_the_others_are_served(settings, tiny, content: bytes) -> None:
    database = Database(settings.url)
    migrate(database)
    install(smuggled(tiny, content), database, LocalStore(settings.store_dir))
    database.close()

    with running(settings, tiny) as service:
        assert [model["model"] for model in service.http.get("/v1/models").json()["models"]] == ["digits", TINY]
        assert service.infer(random_rows(2)).status_code == 200


def other_bytes(folder: Path) -> None:
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)


def linked_model(folder: Path) -> None:
    (folder / "model.onnx").rename(folder.parent / "elsewhere.onnx")
    (folder / "model.onnx").symlink_to(folder.parent / "elsewhere.onnx")


def linked_folder(folder: Path) -> None:
    shutil.move(folder, folder.parent.parent / "elsewhere")
    folder.symlink_to(folder.parent.parent / "elsewhere", target_is_directory=True)
    (folder / "model.onnx").write_bytes(b"whatever the link leads to")


def another_digest(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["frozen_sha256"] = "0" * 64
    (folder / MANIFEST).write_bytes(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    "attack", [other_bytes, linked_model, linked_folder, another_digest], ids=lambda attack: attack.__name__
)
def test_a_model_that_was_replaced_on_disk_is_noticed(settings, tiny, attack: Callable[[Path], None]) -> None:
    with running(settings, tiny) as service:
        with service.context.database.read() as connection:
            digest = models.find(connection, TINY).digest
        attack(settings.store_dir / digest)

        # What runs was hashed before; a file that changes later is not looked at again.
        assert service.infer(random_rows(1)).status_code == 200

    database = Database(settings.url)
    with pytest.raises(ContractError):
        TriedStore(settings.store_dir, settings.tried_dir).read(digest, ModelManifest)
    database.close()


def test_a_service_starts_without_a_model_that_was_replaced(settings, tiny) -> None:
    with running(settings, tiny) as service, service.context.database.read() as connection:
        digest = models.find(connection, TINY).digest
    other_bytes(settings.store_dir / digest)
    database = Database(settings.url)

    # `running` would register the model again, and heal it: under another name it does not.
    other = tiny.manifest.model_copy(update={"name": "other"})
    with running(settings, Bundle(sha256_hex(other.to_bytes()), other, tiny.files)) as service:
        names = [model["model"] for model in service.http.get("/v1/models").json()["models"]]

    database.close()
    assert names == ["digits", "other"]
