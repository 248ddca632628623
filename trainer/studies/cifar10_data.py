"""Reading CIFAR-10 from a user's own file, in either of two forms.

- `x_train`, `y_train`, `x_test`, `y_test`: uint8 pictures (n, 32, 32, 3) as they were published; or
- `header`, and for train and test `data_*`, `len_*`, `y_*`: each picture JPEG-compressed, all behind one common header.
  Accuracies on these are said to be of "CIFAR-10 (JPEG)": the compression costs a point or two.

The order is shuffled with a fixed seed: classes may lie in a pattern.
"""

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from PIL import Image

from service.contract.input_spec import InputSpec
from trainer.datasets import Dataset, DatasetError

LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
END_OF_IMAGE = b"\xff\xd9"


class Cifar10(NamedTuple):
    """Both parts, and what to call the data set where a number of it stands."""

    name: str
    train: Dataset
    test: Dataset


def load_cifar10(path: Path, spec: InputSpec) -> Cifar10:
    """Read both parts as planes.

    Raises:
        DatasetError: the file holds neither of the two forms.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            compressed = "header" in archive.files
            parts = [_read_part(archive, part, compressed) for part in ("train", "test")]
        for pictures, labels in parts:
            _must_fit(pictures, labels)
    # A damaged archive comes out of zipfile and numpy as any of a dozen types.
    except Exception as error:
        raise DatasetError(f"{path} is no CIFAR-10 in one of the two forms of {__name__}: {error}") from error
    train, test = (_dataset(pictures, labels, spec) for pictures, labels in parts)
    return Cifar10("CIFAR-10 (JPEG)" if compressed else "CIFAR-10", train, test)


def _read_part(archive: NpzFile, part: str, compressed: bool) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    labels = archive[f"y_{part}"]
    if not compressed:
        return archive[f"x_{part}"], labels
    header, data = archive["header"].tobytes(), archive[f"data_{part}"].tobytes()
    ends = np.cumsum(archive[f"len_{part}"].astype(np.int64))
    starts = np.concatenate([[0], ends[:-1]])
    pictures = [_decode(header + data[start:end] + END_OF_IMAGE) for start, end in zip(starts, ends, strict=True)]
    return np.stack(pictures), labels


def _must_fit(pictures: NDArray[Any], labels: NDArray[Any]) -> None:
    if pictures.dtype != np.uint8 or pictures.shape[1:] != (SIDE, SIDE, 3):
        raise DatasetError(f"pictures are {pictures.dtype} {pictures.shape}, not uint8 (n, {SIDE}, {SIDE}, 3)")
    if labels.dtype.kind not in "iu" or labels.shape != (len(pictures),):
        raise DatasetError(f"labels are {labels.dtype} {labels.shape}, not one whole number a picture")


def _decode(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as picture:
        return np.asarray(picture.convert("RGB"))


def _dataset(pictures: NDArray[np.uint8], labels: NDArray[Any], spec: InputSpec) -> Dataset:
    order = np.random.default_rng(0).permutation(len(pictures))
    pixels = np.ascontiguousarray(pictures[order].transpose(0, 3, 1, 2))
    return Dataset(spec.to_planes(spec.from_pixels(pixels)), labels[order].astype(np.int64), LABELS)
