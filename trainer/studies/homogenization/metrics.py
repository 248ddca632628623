"""How far images are from what they should be, as the paper measures it.

PSNR and SSIM compare images after the paper's rescaling: each image, and each reconstruction by itself, is stretched to
0 to 1 over all its channels; colour becomes luminance. A wrong brightness or contrast of a whole image therefore costs
nothing, one outlying pixel a lot: a constant image compares as black. SSIM's -1 to 1 becomes 0 to 1 by (1 + s) / 2.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from torch import Tensor

Images = NDArray[np.float64]
Transform = Callable[[Tensor], Tensor]

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Weights of red, green and blue (ITU-R BT.709), as in the authors' code."""
WINDOW, SIGMA = 11, 1.5
"""Of SSIM's Gaussian window. Smaller images get a flat window of the widest odd size that fits."""


def unit_vector_error(transform: Transform, shape: tuple[int, int, int], *, rows: int = 512) -> float:
    """|T(I) - I| / |I|, Frobenius norms, over all images (C, H, W) with a single pixel of 1 and all others 0.

    With the identity I of d pixels this is the paper's sqrt(1/d sum_i |T(e_i) - e_i|^2). Biases and fixed patterns
    count once for each unit vector, so that it is no percentage.
    """
    pixels = int(np.prod(shape))
    total = 0.0
    for units in torch.eye(pixels).reshape(-1, *shape).split(rows):  # type: ignore[no-untyped-call]
        total += float((transform(units).double() - units).square().sum())
    return float(np.sqrt(total / pixels))


def psnr(truth: NDArray[np.floating], images: NDArray[np.floating]) -> float:
    """Mean over images (n, C, H, W) of -10 log10 of the mean squared error, in dB, after the paper's rescaling.

    Infinite where an image is its truth, stretched.
    """
    errors = np.square(comparable(truth) - comparable(images)).mean(axis=(1, 2))
    with np.errstate(divide="ignore"):
        return float(np.mean(-10.0 * np.log10(errors)))


def ssim(truth: NDArray[np.floating], images: NDArray[np.floating]) -> float:
    """Mean over images (n, C, H, W) of (1 + SSIM) / 2 in percent, after the paper's rescaling.

    Raises:
        ValueError: images of less than 3 pixels a side.
    """
    side = min(truth.shape[2:])
    if side < 3:
        raise ValueError(f"SSIM needs images of at least 3 pixels a side, got {truth.shape[2:]}")
    values = [
        structural_similarity(  # type: ignore[no-untyped-call]  # skimage leaves it untyped
            a, b, data_range=1.0, use_sample_covariance=False, **_window(side)
        )
        for a, b in zip(comparable(truth), comparable(images), strict=True)
    ]
    return float(50.0 * (1.0 + np.mean(values)))


def _window(side: int) -> dict[str, bool | float | int]:
    """What skimage takes for a window that fits into `side` pixels."""
    if side >= WINDOW:
        return {"gaussian_weights": True, "sigma": SIGMA}
    return {"win_size": side - 1 + side % 2}


def comparable(images: NDArray[np.floating]) -> Images:
    """Images (n, C, H, W) stretched to 0 to 1, each by itself, then as luminance: (n, H, W). A constant one is 0."""
    values = np.asarray(images, dtype=np.float64)
    low, high = values.min(axis=(1, 2, 3), keepdims=True), values.max(axis=(1, 2, 3), keepdims=True)
    stretched = (values - low) / np.where(high > low, high - low, 1.0)
    if values.shape[1] == len(LUMINANCE):
        return np.asarray(np.einsum("nchw,c->nhw", stretched, LUMINANCE))
    return np.asarray(stretched.mean(axis=1))
