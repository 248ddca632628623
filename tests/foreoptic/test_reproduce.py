"""`foreoptic reproduce homogenization --quick`, from a data file to tables, and again from what it kept."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from foreoptic.cli import app
from service.contract.bundle import write_bundle


@pytest.fixture
def desk(tmp_path: Path, tiny) -> Path:
    """A model's folder, a data set of 8 x 8 pictures, and nothing else."""
    write_bundle(tmp_path / "model", tiny.manifest, tiny.files)
    random = np.random.default_rng(0)
    parts = {"train": 600, "test": 400}
    arrays = {f"x_{part}": random.integers(0, 256, (count, 8, 8), dtype=np.uint8) for part, count in parts.items()}
    arrays |= {f"y_{part}": random.integers(0, 4, count) for part, count in parts.items()}
    np.savez(tmp_path / "pictures.npz", **arrays)
    return tmp_path


def reproduce(desk: Path, *words: str) -> Result:
    given = ["--dataset", "mnist", "--data", str(desk / "pictures.npz"), "--output", str(desk / "out"), "--quick"]
    models = [word for name in ("--model", "--verifier") for word in (name, str(desk / "model"))]
    return CliRunner().invoke(app, ["reproduce", "homogenization", *given, *models, *words])


def test_a_quick_run_writes_tables_pictures_and_records_and_is_not_done_twice(desk: Path) -> None:
    first = reproduce(desk, "--seeds", "1", "--json", "--only", "NN ALL", "--only", "FOREOPTIC")

    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert [table["number"] for table in found["tables"]] == [4, None]
    assert {record["name"] for record in found["records"]} >= {"NN ALL", "FOREOPTIC", "Data set B"}
    written = {file.name for file in (desk / "out").iterdir()}
    assert {"mnist.csv", "mnist.md", "mnist-supervised.png", "mnist-unsupervised.png", "records"} == written
    kept = {file: file.stat().st_mtime_ns for file in (desk / "out" / "records").iterdir()}

    second = reproduce(desk, "--seeds", "1", "--only", "nn all", "--only", "foreoptic")

    assert second.exit_code == 0, second.output
    assert "Table 4" in second.stdout
    assert "uncorrected validation accuracy of each draw" in second.stdout
    assert {file: file.stat().st_mtime_ns for file in (desk / "out" / "records").iterdir()} == kept


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "NN TWO"], "no row is called NN TWO"),
        (["--model", "nothing"], "nothing"),
        (["--dataset", "cifar10"], "takes 1 channels, cifar10 has 3"),
        (["--device", "gpu"], "'cuda'"),
        (["--output", __file__], "is a file"),
    ],
    ids=["row", "model", "channels", "device", "output"],
)
def test_what_cannot_be_done_is_one_line(desk: Path, words: list[str], said: str, monkeypatch) -> None:
    monkeypatch.setenv("FOREOPTIC_HOME", str(desk / "home"))

    done = reproduce(desk, *words)

    assert done.exit_code != 0
    assert said in done.output + str(done.exception)


def test_labels_that_are_no_class_of_the_model_are_refused_before_anything_is_fitted(desk: Path) -> None:
    with np.load(desk / "pictures.npz") as archive:
        arrays = {name: archive[name] + (20 if name.startswith("y") else 0) for name in archive.files}
    np.savez(desk / "pictures.npz", **arrays)

    done = reproduce(desk)

    assert done.exit_code == 1
    assert "has the classes 0 to 3, the data set labels 20 to 23" in done.output
    assert not (desk / "out").exists()


def test_a_setting_that_is_out_of_bounds_is_one_line(desk: Path, monkeypatch) -> None:
    monkeypatch.setenv("FOREOPTIC_JOB_THREADS", "0")

    done = reproduce(desk)

    assert done.exit_code == 1
    assert "greater than or equal to 1" in done.stderr
    assert done.stderr.count("\n") == 1


def test_only_tables_of_which_a_method_was_asked_for_are_shown(desk: Path) -> None:
    done = reproduce(desk, "--seeds", "1", "--only", "criterion")

    assert "Table 4" in done.stdout
    assert "nsupervised" not in done.stdout
    assert "nsupervised, not in the paper" not in (desk / "out" / "mnist.md").read_text()
