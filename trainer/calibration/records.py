"""What is done of a calibration, one JSON file a pair, so that an interrupted one goes on where it was.

The folder is named for everything that the records depend on but the program: model, source images, settings.
"""

from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from service.contract.bundle import Bundle, replace_synced
from service.contract.digest import canonical_json, sha256_hex
from service.contract.manifest import ModelManifest
from trainer.calibration.plan import CALIBRATION_KINDS, Settings
from trainer.calibration.states import State
from trainer.datasets import Dataset

FORMAT = 1
"""Part of every name: raised when kinds, corrections or what a state means change."""


class PairRecord(BaseModel):
    """The states of both batches of a pair, each without correction first."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    groups: tuple[tuple[State, ...], tuple[State, ...]]


def folder_of(cache: Path, model: Bundle[ModelManifest], source: Dataset, settings: Settings) -> Path:
    """Where the records of a calibration lie, below the folder of all calibrations."""
    assert source.labels is not None
    facts = {
        "format": FORMAT,
        "kinds": [kind.name for kind in CALIBRATION_KINDS],
        "files": {name: sha256_hex(model.files[name]) for name in ("model.onnx", "fingerprint.npz")},
        "images": sha256_hex(source.images.tobytes()),
        "labels": sha256_hex(source.labels.tobytes()),
        **asdict(settings),
    }
    return cache / sha256_hex(canonical_json(facts))[:16]


def find_pair(folder: Path, number: int) -> PairRecord | None:
    """The record if it is there and whole; a damaged one is made again."""
    try:
        return PairRecord.model_validate_json(_path(folder, number).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def keep_pair(folder: Path, number: int, record: PairRecord) -> None:
    """Write it whole."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_synced(_path(folder, number), record.model_dump_json().encode())


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:04d}.json"
