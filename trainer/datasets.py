"""Images from a user's own disk: an .npz file or a folder of class folders, as uint8 pixels (n, C, H, W)."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.contract.errors import InputError
from service.contract.input_spec import InputSpec
from service.contract.pictures import decode_picture, to_pixels

MAX_PIXELS = 64_000_000
"""A user's own pictures may be larger than what a service takes from strangers."""
SUFFIXES = (".png", ".jpg", ".jpeg")
PICTURE_CHANNELS = (1, 3, 4)


class DatasetError(Exception):
    """The file or folder does not hold what is expected; the message says what is."""


@dataclass(frozen=True)
class Dataset:
    """Images as planes (see `InputSpec`), and labels where there are any.

    Attributes:
        images: (n, C, H, W) float32.
        labels: (n,) int64 class numbers, or None.
        names: class names where the source has them.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    names: tuple[str, ...] | None = None

    def take(self, rows: NDArray[np.integer[Any]]) -> "Dataset":
        """Some rows, in their order."""
        return Dataset(self.images[rows], None if self.labels is None else self.labels[rows], self.names)


def load_dataset(path: Path, spec: InputSpec, *, part: str | None = None) -> Dataset:
    """Read images and labels.

    Args:
        path: an .npz with `x` and, if known, `y`; or a folder with one folder of PNG or JPEG files a class.
        part: reads `x_<part>` and `y_<part>`, or the folder of that name, where train and test lie together.

    Raises:
        DatasetError: neither of the two, or an array is missing or of another shape.
    """
    if path.is_dir():
        folder = path / part if part else path
        if not folder.is_dir():
            raise DatasetError(f"{path} has no folder '{part}'")
        return _read_folders(folder, spec)
    if path.suffix == ".npz" and path.is_file():
        return _read_npz(path, spec, part)
    raise DatasetError(f"{path} is neither an .npz file nor a folder of class folders")


def natural_size(path: Path, *, part: str | None = None) -> tuple[int, int] | None:
    """Height and width of the images in an .npz or of the first picture of a folder; None where they cannot be told.

    An array is taken for channels last if only its last side can be a picture's channels.
    """
    if path.is_dir():
        files = sorted(file for file in (path / part if part else path).glob("*/*") if file.suffix.lower() in SUFFIXES)
        return _picture_size(files[0]) if files else None
    try:
        with np.load(path, allow_pickle=False) as archive:
            shape = archive[f"x_{part}" if part else "x"].shape
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile):
        return None  # Reading its images says with more words what is wrong with the file.
    if len(shape) == 4 and shape[3] in PICTURE_CHANNELS and shape[1] not in PICTURE_CHANNELS:
        return shape[1], shape[2]
    return (shape[-2], shape[-1]) if len(shape) in (3, 4) else None


def _picture_size(file: Path) -> tuple[int, int] | None:
    try:
        with Image.open(file) as picture:
            return picture.height, picture.width
    except OSError:
        return None


def pixels_of(array: NDArray[Any], spec: InputSpec) -> NDArray[np.uint8]:
    """Grey (n, H, W), colour (n, H, W, 3) or ready (n, C, H, W) uint8 pixels, stretched to the model's size.

    Raises:
        DatasetError: another type or shape.
    """
    if array.dtype != np.uint8:
        own = f"{spec.dtype} {spec.item_shape}"
        raise DatasetError(f"images are {array.dtype}; give uint8 pixels, or the model's own {own}")
    if array.ndim == 4 and array.shape[1:] == spec.shape and len(array):
        return array
    grey = array.ndim == 3 and spec.channels == 1
    colour = array.ndim == 4 and array.shape[3] == spec.channels == 3
    if not (grey or colour):
        raise DatasetError(
            f"images have shape {array.shape}; expected (n, {', '.join(map(str, spec.shape))}), "
            "(n, H, W) for one channel or (n, H, W, 3) for three"
        )
    if len(array) == 0:
        raise DatasetError("there are no images")
    return np.stack([to_pixels(Image.fromarray(picture), spec) for picture in array])


def _decode(file: Path, spec: InputSpec) -> NDArray[np.uint8]:
    try:
        return decode_picture(file.read_bytes(), spec, max_pixels=MAX_PIXELS)
    except InputError as error:
        raise DatasetError(f"{file}: {error}") from error


def _read_npz(path: Path, spec: InputSpec, part: str | None) -> Dataset:
    suffix = f"_{part}" if part else ""
    try:
        with np.load(path, allow_pickle=False) as archive:
            x, y = archive[f"x{suffix}"], archive.get(f"y{suffix}")
            held = ", ".join(archive.files)
    except KeyError as error:
        raise DatasetError(f"{path} has no array 'x{suffix}'; see --part") from error
    # A damaged archive comes out of zipfile and numpy as any of a dozen types.
    except Exception as error:
        raise DatasetError(f"{path} cannot be read as .npz without pickles") from error
    if y is not None and (y.shape != (len(x),) or y.dtype.kind not in "iu"):
        raise DatasetError(f"labels 'y{suffix}' in {path} are no {len(x)} whole numbers (arrays: {held})")
    try:
        tensor = spec.from_tensor(x) if x.dtype.kind == "f" else spec.from_pixels(pixels_of(x, spec))
    except InputError as error:
        raise DatasetError(f"{path}: {error}") from error
    return Dataset(spec.to_planes(tensor), None if y is None else y.astype(np.int64))


def _read_folders(path: Path, spec: InputSpec) -> Dataset:
    classes = sorted(entry for entry in path.iterdir() if entry.is_dir())
    files = [
        (picture, index)
        for index, folder in enumerate(classes)
        for picture in sorted(folder.iterdir())
        if picture.suffix.lower() in SUFFIXES
    ]
    if not files:
        raise DatasetError(f"{path} holds no class folders with PNG or JPEG files")
    pixels = np.stack([_decode(file, spec) for file, _ in files])
    labels = np.array([index for _, index in files], dtype=np.int64)
    return Dataset(spec.to_planes(spec.from_pixels(pixels)), labels, tuple(folder.name for folder in classes))
