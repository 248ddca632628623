"""A calibration of the tiny model from end to end: what it adds, what it keeps when interrupted, what it refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from service.contract.bundle import Bundle, read_bundle, write_bundle
from service.contract.fingerprint import Fingerprint
from service.contract.manifest import ModelManifest
from trainer.calibration.calibrate import CannotCalibrate, calibrated, check_source
from trainer.calibration.fitting import SIGNALS
from trainer.calibration.plan import CALIBRATION_KINDS, Settings, pair_of
from trainer.calibration.records import PairRecord, find_pair, folder_of, keep_pair
from trainer.calibration.states import IDENTITY
from trainer.datasets import Dataset
from trainer.evaluation import Classifier
from trainer.gate.outcome import outcome_signals
from trainer.gate.scores import probabilities
from trainer.interface import Normalisation, read_input_spec
from trainer.registration import register
from trainer.shifts.kind import Use
from trainer.shifts.registry import KINDS
from trainer.split import split

SMALL = Settings(pairs=4, most=40, measured=60, batch=12, probe=4, fewest_steps=1, most_steps=3)
"""One round of all kinds, in a second or two."""


@pytest.fixture(scope="module")
def source(tiny_onnx: bytes) -> Dataset:
    """Source images of the tiny model; nine of ten have the label that it gives them."""
    draw = np.random.default_rng(1)
    images = draw.random((300, 1, 8, 8), dtype=np.float32)
    scores = onnxruntime.InferenceSession(tiny_onnx).run(None, {"image": images})[0]
    predicted = scores.argmax(axis=1)
    return Dataset(images, np.where(draw.random(300) < 0.9, predicted, (predicted + 1) % 4).astype(np.int64))


@pytest.fixture(scope="module")
def model(tiny_onnx: bytes, source: Dataset) -> Bundle[ModelManifest]:
    spec = read_input_spec(tiny_onnx, Normalisation())
    return register(tiny_onnx, name="tiny", spec=spec, source=source, labels=None, card=None)


@pytest.fixture(scope="module")
def whole(model: Bundle[ModelManifest], source: Dataset, tmp_path_factory: pytest.TempPathFactory):
    """The model calibrated in one go, the records seen on the way, and the folder that they lay in."""
    cache, seen = tmp_path_factory.mktemp("cache"), {}

    def look(_share: float) -> None:
        folder = folder_of(cache, model, source, SMALL)
        seen.update({file.name: PairRecord.model_validate_json(file.read_bytes()) for file in folder.glob("*.json")})

    return calibrated(model, source, cache, settings=SMALL, done=look), seen, cache


class Interrupted(Exception):
    """Stands for Ctrl-C."""


def interrupted(model: Bundle[ModelManifest], source: Dataset, cache: Path, after: float) -> Path:
    """Stop a calibration when this share is behind; where its records lie."""

    def stop(share: float) -> None:
        if share >= after:
            raise Interrupted

    with pytest.raises(Interrupted):
        calibrated(model, source, cache, settings=SMALL, done=stop)
    return folder_of(cache, model, source, SMALL)


def test_nothing_but_the_forecast_is_added(model, whole) -> None:
    before, after = (Fingerprint.from_bytes(bundle.files["fingerprint.npz"]) for bundle in (model, whole[0]))

    assert after.forecast is not None
    assert before.missing()[-1].startswith("a forecast")
    assert after.missing() == before.missing()[:-1]
    assert replace(after, forecast=None).to_bytes() == before.to_bytes()
    assert {name: whole[0].files[name] for name in model.files if name != "fingerprint.npz"} == {
        name: content for name, content in model.files.items() if name != "fingerprint.npz"
    }


def test_the_forecast_is_of_finite_numbers_and_holds_its_own_expectation(whole) -> None:
    found = Fingerprint.from_bytes(whole[0].files["fingerprint.npz"]).forecast

    assert found is not None
    assert tuple(found.names) == SIGNALS
    assert found.batches[0] == 8
    numbers = (found.scale, found.weights, found.spread, found.errors)
    assert all(np.isfinite(part).all() for part in numbers)
    assert found.errors[0] <= found.errors[1]


def test_the_calibrated_model_can_be_kept_and_read_again(whole, tmp_path) -> None:
    write_bundle(tmp_path / "model", whole[0].manifest, whole[0].files)

    assert read_bundle(tmp_path / "model", ModelManifest).digest == whole[0].digest


def test_every_batch_stands_behind_no_corrector_its_own_and_those_of_another_kind(whole) -> None:
    _, seen, _ = whole

    assert len(seen) == SMALL.pairs
    for record in seen.values():
        kinds = [group[0].kind for group in record.groups]
        assert len(set(kinds)) == 2
        for group in record.groups:
            assert [state.fitted_to for state in group] == [IDENTITY, *[kinds[0]] * 3, *[kinds[1]] * 3]
            assert group[0].stages == ()
            # The third of each, a forward search, may find nothing to correct.
            assert all(state.stages for index, state in enumerate(group[1:]) if index % 3 < 2)
            assert {state.kind for state in group} == {group[0].kind}


def test_no_judging_kind_is_calibrated_on(whole) -> None:
    seen = {state.kind for record in whole[1].values() for group in record.groups for state in group}

    assert {kind.name for kind in CALIBRATION_KINDS} == seen
    assert {Use.CALIBRATION} == {KINDS[name].use for name in seen}


def test_accuracy_without_correction_is_that_of_onnxruntime(model, source, whole) -> None:
    """Of 60 images each is a 60th."""
    (clean,) = [group[0] for record in whole[1].values() for group in record.groups if group[0].kind == "clean"]

    assert clean.accuracy * 60 == pytest.approx(round(clean.accuracy * 60))
    assert 100 * clean.accuracy == pytest.approx(Classifier(model).accuracy(source), abs=12)


def test_signals_are_of_the_judge_part_alone_and_agree_with_onnxruntime(model, source, tiny_onnx, whole) -> None:
    batch, _ = pair_of(source, model.manifest.input, SMALL, 0)
    judged = batch.posted[split(len(batch.posted), batch.seed).judge]
    scores = onnxruntime.InferenceSession(tiny_onnx).run(None, {"image": judged})[0]
    expected = outcome_signals(probabilities(scores, "logits"), None)

    state = whole[1]["0000.json"].groups[0][0]

    assert state.images == len(judged)
    assert state.signals["entropy"] == pytest.approx(expected.entropy, rel=1e-4)
    assert state.signals["nuclear"] == pytest.approx(expected.nuclear, rel=1e-4)


def test_an_interrupted_calibration_goes_on_to_the_same_bytes(model, source, whole, tmp_path) -> None:
    folder = interrupted(model, source, tmp_path, after=0.5)
    kept = {file: file.stat().st_mtime_ns for file in folder.glob("*.json")}
    found: dict[Path, int] = {}

    again = calibrated(
        model,
        source,
        tmp_path,
        settings=SMALL,
        done=lambda _share: found.update({file: file.stat().st_mtime_ns for file in kept}),
    )

    assert len(kept) == 2
    assert found == kept
    assert again.digest == whole[0].digest


@pytest.mark.parametrize("content", [b"", b'{"groups": [[], []]', b'{"groups": 3}'])
def test_a_damaged_record_counts_as_none(whole, tmp_path, content) -> None:
    record = whole[1]["0000.json"]
    keep_pair(tmp_path, 0, record)
    assert find_pair(tmp_path, 0) == record

    (tmp_path / "0000.json").write_bytes(content)

    assert find_pair(tmp_path, 0) is None


def test_nothing_is_left_of_what_was_kept_on_the_way(whole) -> None:
    assert [] == list(whole[2].iterdir())


def test_records_of_other_images_labels_or_settings_lie_elsewhere(model, source, tmp_path) -> None:
    others = [
        (source, SMALL),
        (Dataset(source.images[::-1], source.labels), SMALL),
        (Dataset(source.images, source.labels[::-1].copy()), SMALL),
        (source, replace(SMALL, seed=1)),
    ]

    assert len({folder_of(tmp_path, model, *other) for other in others}) == len(others)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _source: None, "there are no source images"),
        (lambda source: Dataset(source.images, None), "the source images have no labels"),
        (lambda source: source.take(np.arange(299)), "299 labelled source images were given; at least 300"),
    ],
    ids=["no images", "no labels", "too few"],
)
def test_what_is_no_material_for_a_calibration_is_refused(source, change, words) -> None:
    with pytest.raises(CannotCalibrate, match=words):
        check_source(change(source))
