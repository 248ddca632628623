"""`foreoptic reproduce calibrator --quick` and `reproduce tutorial --quick`, from data files to tables and back."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from typer.testing import CliRunner, Result

from foreoptic.cli import app

CHEAP = ("frozen model alone", "BN adaptation, a batch", "the same net trained on the target's labels")


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """MNIST's and USPS's forms with noise for digits, and nothing else."""
    random = np.random.default_rng(0)
    for name, side in (("mnist", 28), ("usps", 16)):
        parts = {"train": 400, "test": 100}
        arrays = {f"x_{part}": random.integers(0, 256, (n, side, side), dtype=np.uint8) for part, n in parts.items()}
        arrays |= {f"y_{part}": random.integers(0, 10, count) for part, count in parts.items()}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    return tmp_path


def reproduce(desk: Path, what: str, *words: str) -> Result:
    given = ["--mnist", str(desk / "mnist.npz"), "--output", str(desk / "out"), "--quick", "--seeds", "1"]
    return CliRunner().invoke(app, ["reproduce", what, *given, *words])


def only(*names: str) -> list[str]:
    return [word for name in names for word in ("--only", name)]


def with_usps(desk: Path) -> list[str]:
    return ["--usps", str(desk / "usps.npz")]


def test_a_quick_run_writes_table_picture_and_records_and_is_not_done_twice(desk: Path) -> None:
    names = (*CHEAP, "calibrator, a batch")
    first = reproduce(desk, "calibrator", *with_usps(desk), "--pair", "mnist-usps", "--json", *only(*names))

    assert first.exit_code == 0, first.output
    found = {record["name"]: record for record in json.loads(first.stdout)["records"]}
    assert set(found) == set(names)
    # 100 noisy pictures of either domain: percent of those.
    assert all(0.0 <= record["after"]["target"] <= 100.0 for record in found.values())
    assert found["frozen model alone"]["before"] == found["frozen model alone"]["after"]
    assert found["BN adaptation, a batch"]["changed"]
    assert not found["calibrator, a batch"]["changed"]
    written = {"mnist-usps.csv", "mnist-usps.md", "mnist-usps.png", "mnist-usps-calibrator-a-batch.png", "models"}
    assert {file.name for file in (desk / "out").iterdir()} == written
    page = (desk / "out" / "mnist-usps.md").read_text()
    assert all(name in page for name in names)
    assert "these numbers mean nothing" in page
    records = desk / "out" / "models" / "quick" / "records"
    kept = {file: file.stat().st_mtime_ns for file in records.iterdir()}

    second = reproduce(desk, "calibrator", *with_usps(desk), "--pair", "mnist-usps", *only(*names))

    assert second.exit_code == 0, second.output
    assert "mnist to usps" in second.stdout
    assert {file: file.stat().st_mtime_ns for file in records.iterdir()} == kept


def test_the_tutorials_rows_change_a_copy_and_ours_stands_in_front(desk: Path) -> None:
    done = reproduce(desk, "tutorial", *with_usps(desk), "--json")

    assert done.exit_code == 0, done.output
    found = {record["name"]: record for record in json.loads(done.stdout)["records"]}
    assert {name for name, record in found.items() if record["changed"]} == {
        "CycleGAN, fine-tuned",
        "DANN",
        "Deep CORAL",
        "calibrator in front of CycleGAN's",
    }
    assert found["calibrator in front of it"]["model_parameters"] >= 504_842


def test_svhn_is_read_from_the_users_own_files(desk: Path) -> None:
    random = np.random.default_rng(1)
    for part, count in (("train", 400), ("test", 60)):
        x = random.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        savemat(desk / f"{part}_32x32.mat", {"X": x, "y": random.integers(1, 11, (count, 1)).astype(np.uint8)})

    done = reproduce(desk, "calibrator", "--svhn", str(desk), "--json", *only(*CHEAP))

    assert done.exit_code == 0, done.output
    assert {record["pair"] for record in json.loads(done.stdout)["records"]} == {"svhn-mnist"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name another file beside --mnist"),
        (["--pair", "mnist-cifar"], "there is no pair mnist-cifar; there are mnist-usps"),
        (["--pair", "svhn-mnist"], "the images of svhn are needed; name their file with --svhn"),
        (["--pair", "mnist-usps", "--usps", __file__], "neither an .npz file"),
    ],
    ids=["one set", "pair", "missing", "no data"],
)
def test_what_cannot_be_done_is_one_line(desk: Path, words: list[str], said: str) -> None:
    done = reproduce(desk, "calibrator", *words)

    assert done.exit_code == 1
    assert said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.output


def test_a_row_that_there_is_not_is_refused_with_those_that_are(desk: Path) -> None:
    done = reproduce(desk, "calibrator", *with_usps(desk), "--pair", "usps-mnist", "--only", "DANN")

    assert done.exit_code == 1
    assert "no row is called dann" in done.stderr.replace("\n", " ")
    assert "calibrator, a batch" in done.stderr.replace("\n", " ")
