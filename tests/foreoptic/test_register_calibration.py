"""`register --calibrate-gate` as a user types it: what it asks for, and what it leaves in the home."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from foreoptic.cli import app
from foreoptic.locate import open_home
from foreoptic.registering import CALIBRATIONS, Stated, register_file
from service import catalog
from service.contract.fingerprint import Fingerprint
from service.settings import Settings
from trainer.calibration.plan import Settings as Calibration
from trainer.interface import Normalisation

SMALL = Calibration(pairs=4, most=40, measured=60, batch=12, probe=4, fewest_steps=1, most_steps=3)


@pytest.fixture
def model_file(tmp_path: Path, tiny_onnx: bytes) -> Path:
    file = tmp_path / "model.onnx"
    file.write_bytes(tiny_onnx)
    return file


def images(folder: Path, *, labels: bool, count: int = 300) -> Path:
    draw, file = np.random.default_rng(1), folder / "images.npz"
    y = {"y": np.arange(count) % 4} if labels else {}
    np.savez(file, x=draw.random((count, 1, 8, 8), dtype=np.float32), **y)
    return file


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "there are no source images; give --source"),
        ({"labels": False}, "the source images have no labels; give --source"),
        ({"labels": True, "count": 200}, "200 labelled source images were given; at least 300"),
    ],
    ids=["no images", "no labels", "too few"],
)
def test_a_calibration_without_material_is_refused_and_nothing_is_registered(
    settings: Settings, monkeypatch, tmp_path: Path, model_file: Path, given, words: str
) -> None:
    monkeypatch.setenv("FOREOPTIC_HOME", str(settings.home))
    source = [] if given is None else ["--source", str(images(tmp_path, **given))]

    done = CliRunner().invoke(app, ["register", str(model_file), "--name", "mine", "--calibrate-gate", *source])

    assert done.exit_code == 1
    assert words in done.stderr
    assert "or leave --calibrate-gate out" in done.stderr
    assert "mine" not in CliRunner().invoke(app, ["ls", "--json"]).stdout


def test_a_calibrated_model_is_registered_with_its_forecast_and_no_record_is_left(
    settings: Settings, tmp_path: Path, model_file: Path
) -> None:
    register_file(
        model_file,
        "mine",
        images(tmp_path, labels=True),
        settings,
        part=None,
        labels=None,
        normalisation=Normalisation(),
        stated=Stated(),
        calibration=SMALL,
    )

    database, store = open_home(settings)
    fingerprint = Fingerprint.from_bytes(catalog.read_model("mine", database, store).files["fingerprint.npz"])
    database.close()
    assert fingerprint.forecast is not None
    assert fingerprint.forecast.batches[0] == 2 * SMALL.pairs
    assert [] == list((settings.home / CALIBRATIONS).iterdir())
