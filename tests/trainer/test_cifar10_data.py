"""CIFAR-10 from a user's file, in either of its forms; whatever else it is, it is refused by its path."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.contract.input_spec import InputSpec
from trainer.datasets import DatasetError
from trainer.studies.cifar10_data import END_OF_IMAGE, load_cifar10

SPEC = InputSpec(name="image", shape=(3, 32, 32))
COUNT = 6


def pictures() -> np.ndarray:
    """Each of one colour, unlike all others."""
    colours = np.arange(COUNT * 3, dtype=np.uint8).reshape(COUNT, 1, 1, 3) * 12
    return np.broadcast_to(colours, (COUNT, 32, 32, 3)).copy()


def save(path: Path, **changed: Any) -> Path:
    arrays = {f"x_{part}": pictures() for part in ("train", "test")}
    arrays |= {f"y_{part}": np.arange(COUNT) for part in ("train", "test")}
    np.savez(path, **{**arrays, **changed})
    return path


def as_jpeg(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def test_labels_stay_with_their_pictures(tmp_path: Path) -> None:
    data = load_cifar10(save(tmp_path / "c.npz"), SPEC)

    assert data.name == "CIFAR-10"
    assert sorted(data.train.labels) == list(range(COUNT))
    for image, label in zip(data.train.images, data.train.labels, strict=True):
        np.testing.assert_allclose(image, pictures()[label].transpose(2, 0, 1) / 255, atol=1e-6)


def test_compressed_pictures_are_read_and_called_so(tmp_path: Path) -> None:
    files = [as_jpeg(picture) for picture in pictures()]
    shared = next(i for i in range(len(files[0])) if len({file[: i + 1] for file in files}) > 1)
    bodies = [file[shared:].removesuffix(END_OF_IMAGE) for file in files]
    arrays: dict[str, Any] = {"header": np.frombuffer(files[0][:shared], np.uint8)}
    for part in ("train", "test"):
        arrays[f"data_{part}"] = np.frombuffer(b"".join(bodies), np.uint8)
        arrays[f"len_{part}"] = np.array([len(body) for body in bodies])
        arrays[f"y_{part}"] = np.arange(COUNT)
    np.savez(tmp_path / "c.npz", **arrays)

    data = load_cifar10(tmp_path / "c.npz", SPEC)

    assert data.name == "CIFAR-10 (JPEG)"
    for image, label in zip(data.test.images, data.test.labels, strict=True):
        np.testing.assert_allclose(image, pictures()[label].transpose(2, 0, 1) / 255, atol=0.02)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"x_test": np.zeros((COUNT, 28, 28), np.uint8)}, r"uint8 \(6, 28, 28\), not uint8 \(n, 32, 32, 3\)"),
        ({"x_train": np.zeros((COUNT, 32, 32, 3))}, "float64"),
        # Compared with predictions (n,) they would be counted as hits of every other picture.
        ({"y_test": np.zeros((COUNT, 1), int)}, r"labels are int64 \(6, 1\), not one whole number a picture"),
        ({"y_train": np.zeros(COUNT)}, "labels are float64"),
    ],
    ids=["grey", "float", "column", "real labels"],
)
def test_arrays_of_another_shape_or_type_are_refused(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=said) as refused:
        load_cifar10(save(tmp_path / "c.npz", **changed), SPEC)

    assert "c.npz" in str(refused.value)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, pictures())

    for name in ("text", "array", "absent"):
        with pytest.raises(DatasetError, match=f"{name}.npz is no CIFAR-10"):
            load_cifar10(tmp_path / f"{name}.npz", SPEC)
