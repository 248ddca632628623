"""A calibration from top to bottom: a registered model and labelled source images in, the model with a forecast out."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from service.contract.bundle import Bundle, describe
from service.contract.digest import sha256_hex
from service.contract.fingerprint import Fingerprint
from service.contract.manifest import ModelManifest
from trainer.calibration.fitting import fit_forecast
from trainer.calibration.plan import Settings, pair_of
from trainer.calibration.records import PairRecord, find_pair, folder_of, keep_pair
from trainer.calibration.states import Judge, measure_pair
from trainer.datasets import Dataset
from trainer.forward import TapGraph
from trainer.reading import read_model

FEWEST_IMAGES = 300
"""Of fewer, a third is too few to measure accuracy on."""


class CannotCalibrate(Exception):
    """What was given is no material for a calibration; the message says what is missing."""


def check_source(source: Dataset | None) -> Dataset:
    """The source if a gate can be calibrated with it.

    Raises:
        CannotCalibrate: there is none, it has no labels, or too few images.
    """
    if source is None or source.labels is None:
        what = "there are no source images" if source is None else "the source images have no labels"
        raise CannotCalibrate(
            f"a gate is calibrated on labelled source images, and {what}; give --source an .npz with x and y or a "
            "folder of class folders, or leave --calibrate-gate out"
        )
    if len(source.images) < FEWEST_IMAGES:
        raise CannotCalibrate(
            f"{len(source.images)} labelled source images were given; at least {FEWEST_IMAGES} are needed to calibrate "
            "a gate: give more, or leave --calibrate-gate out"
        )
    return source


def calibrated(
    model: Bundle[ModelManifest],
    source: Dataset,
    cache: Path,
    *,
    settings: Settings,
    done: Callable[[float], None] = lambda _share: None,
) -> Bundle[ModelManifest]:
    """The model with a forecast in its fingerprint. The same arguments give the same bytes, interrupted or not.

    Args:
        source: the images that it was registered with, and their labels.
        cache: folder below which records lie until the calibration is through.
        done: told the share of the pairs that are behind.

    Raises:
        CannotCalibrate: see `check_source`.
    """
    check_source(source)
    folder = folder_of(cache, model, source, settings)
    judge = _judge(model, source)
    records = []
    for number in range(settings.pairs):
        records.append(find_pair(folder, number) or _made(folder, judge, source, settings, number))
        done((number + 1) / settings.pairs)
    forecast = fit_forecast([group for record in records for group in record.groups])
    shutil.rmtree(folder)
    return _with_fingerprint(model, replace(judge.fingerprint, forecast=forecast))


def _judge(model: Bundle[ModelManifest], source: Dataset) -> Judge:
    manifest = model.manifest
    taps = [tap.name for tap in manifest.taps]
    frozen = read_model(
        model.files["model.onnx"], manifest.input, taps=taps, scores=manifest.output.name, example=source.images
    )
    fingerprint = Fingerprint.from_bytes(model.files["fingerprint.npz"])
    fitted = {name: fingerprint.moments()[name] for name in manifest.fitted_taps()}
    # One thread: the same sums in the same order on every machine of a kind.
    graph = TapGraph(model.files["model.onnx"], manifest.input, fitted, threads=1)
    return Judge(frozen, graph, fingerprint, manifest)


def _made(folder: Path, judge: Judge, source: Dataset, settings: Settings, number: int) -> PairRecord:
    pair = pair_of(source, judge.manifest.input, settings, number)
    first, second = measure_pair(judge, pair, settings)
    record = PairRecord(groups=(tuple(first), tuple(second)))
    keep_pair(folder, number, record)
    return record


def _with_fingerprint(model: Bundle[ModelManifest], fingerprint: Fingerprint) -> Bundle[ModelManifest]:
    files = {**model.files, "fingerprint.npz": fingerprint.to_bytes()}
    manifest = model.manifest.model_copy(update={"files": describe(files)})
    return Bundle(sha256_hex(manifest.to_bytes()), manifest, files)
