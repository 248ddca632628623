"""Source images that lie beside a frozen model for methods that need some: `source.npz` in the model's bundle.

They are kept only where someone asked for it (`register --keep-source`), go to the trainer with every job of the
model, and are given out by no route. `x` (n, C, H, W) float32 planes, compressed; `y` (n,) int64, UNKNOWN where an
image has no label.
"""

import io
import zipfile

import numpy as np
from numpy.typing import NDArray

from service.contract.errors import BadManifest
from service.contract.input_spec import InputSpec
from service.contract.job import UNKNOWN

SOURCE_FILE = "source.npz"
MOST_IMAGES = 5_000
MOST_VALUES = 1 << 24
"""Of all images together, 64 MiB in memory: 111 images of 224 x 224 in colour, 5,000 of up to 57 x 57 in grey."""


def room_for(spec: InputSpec) -> int:
    """How many images of this input may be kept."""
    return min(MOST_IMAGES, MOST_VALUES // int(np.prod(spec.shape)))


def to_bytes(planes: NDArray[np.float32], labels: NDArray[np.int64] | None) -> bytes:
    """The file's content; the same images give the same bytes."""
    buffer = io.BytesIO()
    known = np.full(len(planes), UNKNOWN, np.int64) if labels is None else labels
    np.savez_compressed(buffer, allow_pickle=False, x=planes, y=known)
    return buffer.getvalue()


def from_bytes(content: bytes, spec: InputSpec) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Planes and labels.

    Raises:
        BadManifest: it does not hold images of this input.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            planes, labels = archive["x"], archive["y"]
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise BadManifest(f"'{SOURCE_FILE}' is no archive of the arrays x and y") from error
    if planes.dtype != np.float32 or planes.shape[1:] != spec.shape or labels.shape != planes.shape[:1]:
        raise BadManifest(f"'{SOURCE_FILE}' holds {planes.dtype} {planes.shape}; expected float32 (n, *{spec.shape})")
    return planes, labels
