"""`foreoptic register`: read, register, calibrate if asked, install."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from foreoptic.following import progress_bar
from foreoptic.locate import open_home
from foreoptic.show import fail
from service import catalog
from service.contract.bundle import Bundle
from service.contract.errors import GraphError, GraphTooLarge, TrialError
from service.contract.graph_rules import FROZEN_MODEL
from service.contract.manifest import NAME_RULE, ModelManifest
from service.engine.tried import Trials
from service.settings import Settings
from trainer.calibration.calibrate import CannotCalibrate, calibrated, check_source
from trainer.calibration.plan import Settings as Calibration
from trainer.datasets import Dataset, DatasetError, load_dataset, natural_size
from trainer.frozen import FrozenError
from trainer.interface import Layout, Normalisation, RegistrationError, is_open, read_input_spec
from trainer.registration import register

FULL_CALIBRATION = Calibration()
CALIBRATIONS = "calibrations"
"""Folder of a home with what interrupted calibrations have done."""


@dataclass(frozen=True)
class Stated:
    """What the user says of the model beside its value range; None where the file is to say it."""

    layout: Layout | None = None
    size: tuple[int, int] | None = None
    scores: str | None = None


def register_file(
    onnx_file: Path,
    name: str,
    source: Path | None,
    settings: Settings,
    *,
    part: str | None,
    labels: tuple[str, ...] | None,
    normalisation: Normalisation,
    stated: Stated,
    calibration: Calibration | None = None,
    keep_source: bool = False,
) -> ModelManifest:
    """Register one file under a name, and return what is known of it now.

    Args:
        calibration: how much is done to calibrate the gate; None leaves it as it is.
        keep_source: whether source images are kept beside the model.
    """
    try:
        if calibration is not None and source is None:
            check_source(None)
        trials = Trials(settings.tried_dir)
        content = _read_tried(onnx_file, trials)
        size = stated.size or (natural_size(source, part=part) if source is not None and is_open(content) else None)
        spec = read_input_spec(content, normalisation, layout=stated.layout, size=size)
        # Where the file leaves sides open it was loaded and not yet run; else this is only looked up.
        trials.ensure(content, FROZEN_MODEL, item=spec.item_shape)
        dataset = load_dataset(source, spec, part=part) if source is not None else None
        if calibration is not None:
            check_source(dataset)
        names = labels if labels is not None or dataset is None else dataset.names
        with progress_bar() as advance:
            bundle = register(
                content,
                name=name,
                spec=spec,
                source=dataset,
                labels=names,
                card=None,
                scores=stated.scores,
                keep_source=keep_source,
                done=lambda share: advance(share, "fingerprint"),
            )
        if calibration is not None and dataset is not None:
            bundle = _calibrated(bundle, dataset, settings, calibration)
        database, store = open_home(settings)
        catalog.install(bundle, database, store)
        database.close()
    except (
        RegistrationError,
        CannotCalibrate,
        DatasetError,
        FrozenError,
        GraphError,
        TrialError,
        catalog.NameTaken,
    ) as error:
        raise fail(str(error)) from error
    except ValidationError as error:
        said = "; ".join(str(item["msg"]).removeprefix("Value error, ") for item in error.errors())
        raise fail(f"the name or the normalisation does not fit: {said}; a name is {NAME_RULE}") from error
    return bundle.manifest


def _calibrated(
    bundle: Bundle[ModelManifest], dataset: Dataset, settings: Settings, calibration: Calibration
) -> Bundle[ModelManifest]:
    with progress_bar() as advance:
        return calibrated(
            bundle,
            dataset,
            settings.home / CALIBRATIONS,
            settings=calibration,
            done=lambda share: advance(share, "calibration; Ctrl-C keeps what is done"),
        )


def _read_tried(onnx_file: Path, trials: Trials) -> bytes:
    """The file's bytes, once they were loaded in a process of their own: nothing here has parsed them before."""
    size = onnx_file.stat().st_size
    if size > FROZEN_MODEL.max_bytes:
        raise GraphTooLarge(f"the file has {size} bytes; a model has at most {FROZEN_MODEL.max_bytes}")
    content = onnx_file.read_bytes()
    trials.ensure(content, FROZEN_MODEL)
    return content
