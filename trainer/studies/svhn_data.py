"""SVHN, street view house numbers, from a user's own files: `train_32x32.mat` and `test_32x32.mat` (Netzer et al.).

Each holds `X` (32, 32, 3, n) uint8 and `y` (n, 1), in which 10 stands for the digit 0.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from service.contract.input_spec import InputSpec
from trainer.datasets import Dataset, DatasetError, pixels_of

SIDES = (32, 32, 3)


def load_svhn(path: Path, spec: InputSpec) -> Dataset:
    """Images and labels of one file, grey where the model takes one channel.

    Raises:
        DatasetError: it is no such file.
    """
    try:
        found = loadmat(path)
        x, y = found["X"], found["y"].ravel()
    except (OSError, ValueError, NotImplementedError, MatReadError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} is no SVHN file with X and y, such as train_32x32.mat") from error
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[:3] != SIDES or len(y) != x.shape[3] or len(y) == 0:
        raise DatasetError(f"{path} holds X {x.dtype} {x.shape} and {len(y)} labels; expected uint8 (32, 32, 3, n)")
    if y.min() < 1 or y.max() > 10:
        raise DatasetError(f"{path} has labels {y.min()} to {y.max()}; SVHN's are 1 to 10")
    pictures = np.ascontiguousarray(x.transpose(3, 0, 1, 2))
    if spec.channels == 1:
        pictures = np.stack([np.asarray(Image.fromarray(picture).convert("L")) for picture in pictures])
    return Dataset(spec.to_planes(spec.from_pixels(pixels_of(pictures, spec))), y.astype(np.int64) % 10)
