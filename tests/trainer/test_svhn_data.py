"""SVHN files, in the form of the data set's own: read, turned grey where the model is, refused where they are not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from service.contract.input_spec import InputSpec
from trainer.datasets import DatasetError
from trainer.studies.svhn_data import load_svhn


def spec(channels: int, side: int) -> InputSpec:
    return InputSpec(
        name="image",
        dtype="float32",
        layout="NCHW",
        shape=(channels, side, side),
        batch=None,
        bounds=(0.0, 1.0),
        mean=(0.0,),
        std=(1.0,),
    )


PICTURES = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
DIGITS = np.array([[1], [2], [10], [9], [5], [10]], dtype=np.uint8)


def save(path: Path, **changed: Any) -> Path:
    savemat(path, {"X": PICTURES.transpose(1, 2, 3, 0), "y": DIGITS, **changed})
    return path


def test_ten_stands_for_zero_and_pictures_come_first(tmp_path: Path) -> None:
    found = load_svhn(save(tmp_path / "train_32x32.mat"), spec(3, 32))

    assert found.labels is not None
    assert found.labels.tolist() == [1, 2, 0, 9, 5, 0]
    np.testing.assert_allclose(found.images, PICTURES.transpose(0, 3, 1, 2) / 255, rtol=0, atol=1e-6)


def test_a_model_of_one_channel_gets_what_pillow_calls_grey(tmp_path: Path) -> None:
    found = load_svhn(save(tmp_path / "train_32x32.mat"), spec(1, 32))

    grey = np.asarray(Image.fromarray(PICTURES[0]).convert("L"))
    np.testing.assert_allclose(found.images[0, 0], grey / 255, rtol=0, atol=1e-6)


def test_pictures_are_brought_to_the_models_size(tmp_path: Path) -> None:
    assert load_svhn(save(tmp_path / "train_32x32.mat"), spec(1, 28)).images.shape == (6, 1, 28, 28)


@pytest.mark.parametrize(
    "changed",
    [
        {"X": PICTURES},
        {"X": PICTURES.transpose(1, 2, 3, 0).astype(np.float32)},
        {"y": DIGITS[:3]},
        {"y": DIGITS - 1},
        {"y": DIGITS + 1},
    ],
    ids=["order", "type", "fewer labels", "label 0", "label 11"],
)
def test_arrays_of_another_form_are_refused(changed: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"X|labels"):
        load_svhn(save(tmp_path / "train_32x32.mat", **changed), spec(1, 28))


@pytest.mark.parametrize("content", [b"", b"no such file", b"\x89HDF\r\n\x1a\n"])
def test_what_is_no_such_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(content)

    with pytest.raises(DatasetError, match="SVHN"):
        load_svhn(path, spec(1, 28))
    with pytest.raises(DatasetError, match="SVHN"):
        load_svhn(tmp_path / "none.mat", spec(1, 28))
