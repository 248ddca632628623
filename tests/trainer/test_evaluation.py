"""Accuracy is counted on images that no fit sees, by the frozen model in onnxruntime."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from service.contract.bundle import Bundle
from service.contract.input_spec import InputSpec
from service.contract.manifest import CorrectorManifest, ModelManifest
from service.contract.verdict import Decision
from trainer.datasets import Dataset, DatasetError
from trainer.evaluation import Classifier, Trial, load_target, trials

SPEC = InputSpec(name="image", shape=(1, 8, 8))


pytestmark = pytest.mark.usefixtures("one_thread")


def numbered(count: int, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images that are recognised by their grey level, and labels that repeat it."""
    level = np.arange(start, start + count)
    return np.broadcast_to((level / 1000).astype(np.float32)[:, None, None, None], (count, 1, 8, 8)).copy(), level


def levels(dataset: Dataset) -> list[int]:
    return np.rint(dataset.images[:, 0, 0, 0] * 1000).astype(int).tolist()


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    x, y = numbered(50)
    np.savez(tmp_path / "whole.npz", x=x, y=y)
    return tmp_path / "whole.npz"


# The target.


def test_a_file_in_two_parts_gives_the_first_to_draw_from_and_the_second_to_measure_on(tmp_path: Path) -> None:
    (x_train, y_train), (x_test, y_test) = numbered(30), numbered(20, 500)
    np.savez(tmp_path / "parts.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)

    target = load_target(tmp_path / "parts.npz", SPEC, images=10, seed=0)

    assert levels(target.pool) == list(range(30))
    assert levels(target.measured) == list(range(500, 520))


def test_the_first_part_needs_no_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "parts.npz", x_train=numbered(30)[0], x_test=numbered(5)[0], y_test=numbered(5)[1])

    target = load_target(tmp_path / "parts.npz", SPEC, images=30, seed=0)

    assert target.pool.labels is None
    assert target.measured.labels is not None


def test_a_file_in_one_part_is_divided_by_the_seed(whole: Path) -> None:
    first, again, other = (load_target(whole, SPEC, images=20, seed=seed) for seed in (0, 0, 1))

    assert sorted(levels(first.pool) + levels(first.measured)) == list(range(50))
    assert len(first.pool.images) == 20
    for part in (first.pool, first.measured):
        assert part.labels is not None
        assert part.labels.tolist() == levels(part)
    assert levels(first.pool) == levels(again.pool)
    assert sorted(levels(first.pool)) != sorted(levels(other.pool))


def test_a_folder_is_divided_by_the_seed_too(tmp_path: Path) -> None:
    for index in range(30):
        (tmp_path / f"{index % 3}").mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), index, np.uint8)).save(tmp_path / f"{index % 3}" / f"{index}.png")

    target = load_target(tmp_path, SPEC, images=20, seed=0)

    assert not set(levels(target.pool)) & set(levels(target.measured))


@pytest.mark.parametrize(
    ("arrays", "images", "message"),
    [
        pytest.param({"x": 50}, 20, "no labelled images", id="no labels"),
        pytest.param({"x": 50, "y": 50}, 50, "no labelled images", id="nothing left to measure on"),
        pytest.param({"x": 50, "y": 50}, 60, "no labelled images", id="more asked for than there are"),
        pytest.param({"x_train": 9, "x_test": 9, "y_test": 9}, 10, "has 9 images.*10 were asked", id="a small pool"),
        pytest.param({"x_train": 9, "y_train": 9, "x_test": 9}, 5, "no labelled images", id="test part unlabelled"),
        pytest.param({"x_train": 9, "y_train": 9}, 5, "no array 'x'", id="no test part"),
        pytest.param({"images": 9}, 5, "no array 'x'", id="nothing at all"),
    ],
)
def test_a_target_that_cannot_be_measured_is_refused(
    arrays: dict[str, int], images: int, message: str, tmp_path: Path
) -> None:
    content = {name: numbered(count)[0 if name[0] != "y" else 1] for name, count in arrays.items()}
    np.savez(tmp_path / "data.npz", **content)

    with pytest.raises(DatasetError, match=message):
        load_target(tmp_path / "data.npz", SPEC, images=images, seed=0)


# Accuracy.


def predicted(tiny_onnx: bytes, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(tiny_onnx, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"image": images})[0].argmax(axis=1)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """More than one chunk, and of different contrast, so that the tiny model sees more than one class."""
    draw = np.random.default_rng(3)
    return (draw.random((1203, 1, 8, 8)) * draw.uniform(0, 4, (1203, 1, 1, 1))).astype(np.float32)


def test_accuracy_is_the_share_that_onnxruntime_gets_right(
    tiny: Bundle[ModelManifest], tiny_onnx: bytes, images: np.ndarray
) -> None:
    right = predicted(tiny_onnx, images)
    wrong = np.random.default_rng(4).random(len(images)) < 0.3
    labels = np.where(wrong, (right + 1) % 4, right)

    accuracy = Classifier(tiny).accuracy(Dataset(images, labels))

    assert len(np.unique(right)) > 1
    assert accuracy == pytest.approx(100 * (1 - wrong.mean()))


def test_accuracy_behind_a_corrector_is_that_of_its_output(
    tiny: Bundle[ModelManifest],
    tiny_onnx: bytes,
    images: np.ndarray,
    make_corrector: Callable[..., Bundle[CorrectorManifest]],
) -> None:
    corrector, classifier = make_corrector(gain=0.05).files["corrector.onnx"], Classifier(tiny)
    through = predicted(tiny_onnx, images * np.float32(0.05))
    dataset = Dataset(images, through)

    assert classifier.accuracy(dataset, corrector) == 100.0
    assert classifier.accuracy(dataset) == pytest.approx(100 * (predicted(tiny_onnx, images) == through).mean())
    assert classifier.accuracy(dataset) < 100.0


# A trial.


def only_trial(tiny: Bundle[ModelManifest], path: Path) -> Trial:
    (trial,) = trials(
        tiny, path, images=64, seeds=range(3, 4), method="homogenizer", threads=1, report=lambda progress: None
    )
    return trial


def save(path: Path, images: np.ndarray, labels: np.ndarray, pool_labels: np.ndarray | None = None) -> Path:
    """The first 100 to draw from, the rest to measure on."""
    drawn = labels[:100] if pool_labels is None else pool_labels
    np.savez(path, x_train=images[:100], y_train=drawn, x_test=images[100:], y_test=labels[100:])
    return path


def test_a_promoted_trial_serves_its_candidate(tiny: Bundle[ModelManifest], tiny_onnx: bytes, tmp_path: Path) -> None:
    shifted = (0.5 * np.random.default_rng(5).random((400, 1, 8, 8)) + 0.3).astype(np.float32)
    labels = predicted(tiny_onnx, (shifted - np.float32(0.3)) / np.float32(0.5))

    trial = only_trial(tiny, save(tmp_path / "shift.npz", shifted, labels))

    assert (trial.seed, trial.decision) == (3, Decision.PROMOTE)
    assert trial.before == pytest.approx(100 * (predicted(tiny_onnx, shifted[100:]) == labels[100:]).mean())
    assert trial.after == trial.candidate
    assert trial.stages
    # Labels of the images that are fitted are never looked at.
    lies = only_trial(tiny, save(tmp_path / "lies.npz", shifted, labels, pool_labels=0 * labels[:100]))
    assert replace(trial, seconds=0.0) == replace(lies, seconds=0.0)


def test_a_rejected_trial_serves_no_correction(tiny: Bundle[ModelManifest], tiny_onnx: bytes, tmp_path: Path) -> None:
    # Half of the images have far too much contrast and half too little: one filter undoes only one half.
    draw = np.random.default_rng(5)
    source, half = draw.random((400, 1, 8, 8)), draw.random((400, 1, 1, 1)) < 0.5
    uneven = np.where(half, 4.0 * source, 0.2 * source).astype(np.float32)
    labels = predicted(tiny_onnx, source.astype(np.float32))

    trial = only_trial(tiny, save(tmp_path / "uneven.npz", uneven, labels))

    assert trial.candidate != trial.before, "only a candidate that differs shows which of both is served"
    assert trial.decision is Decision.REJECT
    assert trial.after == trial.before
