"""Second moments of images at each spatial frequency, and the linear filter that turns one set of them into another.

Images are cut into tiles of at most TILE pixels a side; C channels, tiles of (h, w) pixels. With X(f) the
two-dimensional Fourier transform of an image less its mean image, the cross-spectrum is

    S(f) = E[X(f) X(f)^H] / (h w),        complex (C, C, h, w), Hermitian and positive at every f,

so that the mean of S over all frequencies is the covariance of the channels.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.contract.statistics import Complex, Floats

TILE = 32
FLOOR = 1e-3
"""Power added at every frequency, as a share of the mean, before a square root is divided by: it bounds the gain."""
TURN_FLOOR = 1e-6
"""The same share where power is only moved from one colour to another, behind a filter that is bounded already."""
LEAST_FLOOR = 1e-12
"""The same where there is no power at all: images that never change."""


def tile_shape(height: int, width: int) -> tuple[int, int]:
    """Height and width of the tiles that images are cut into."""
    return min(height, TILE), min(width, TILE)


def cross_spectrum(images: NDArray[np.floating], mean: NDArray[np.floating]) -> Complex:
    """S of images (n, C, H, W) about `mean`, which is (C, H, W) or (C, 1, 1); what fills no tile is left out."""
    _, channels, height, width = images.shape
    h, w = tile_shape(height, width)
    rows, columns = height // h, width // w
    total = np.zeros((channels, channels, h, w), dtype=np.complex128)
    for image in images:
        centred = np.asarray(image - mean, dtype=np.float64)[:, : rows * h, : columns * w]
        tiles = centred.reshape(channels, rows, h, columns, w).transpose(1, 3, 0, 2, 4).reshape(-1, channels, h, w)
        waves = np.fft.fft2(tiles)
        total += np.einsum("ncij,ndij->cdij", waves, waves.conj())
    return np.asarray(total / (len(images) * rows * columns * h * w))


def transport(source: Complex, target: Complex) -> Floats:
    """The filter k, (C, C, h, w), that gives images with cross-spectrum `target` the cross-spectrum `source`.

    At each frequency K = T^-1/2 (T^1/2 S T^1/2)^1/2 T^-1/2, the optimal transport between two centred Gaussians, so
    that K T K^H = S up to FLOOR. Its phase is zero: of all filters with these powers it moves the pixels least. It is
    applied as a correlation, out_c(p) = sum over d, o of k_cd(o) x_d(p + o), with o = 0 in the middle of k.

    Source: Dowson & Landau (1982), "The Frechet distance between multivariate normal distributions".
    """
    s, t = _by_frequency(source), _by_frequency(target)
    floor = _floor(t)
    half, back = (_power(t, exponent, floor) for exponent in (0.5, -0.5))
    return _kernel(back @ _power(half @ s @ half, 0.5, 0.0) @ back)


def turned(kernel: Floats, source: Complex, turns: Sequence[NDArray[np.floating]]) -> list[Floats]:
    """Filters behind which images have the cross-spectrum `source` too, where they have it behind `kernel`.

    At each frequency S^1/2 E Q E^T S^-1/2 K for every orthogonal Q of `turns`, (C, C); the columns of E are the
    principal axes of the colours. Second moments cannot tell how these were turned into one another: that is left to
    whoever looks at more than them.
    """
    s, gain = _by_frequency(source), _by_frequency(_response(kernel))
    half, back = (_power(s, exponent, _floor(s, TURN_FLOOR)) for exponent in (0.5, -0.5))
    _, axes = np.linalg.eigh(s.real.mean(axis=(0, 1)))
    return [_kernel(half @ (axes @ turn @ axes.T) @ back @ gain) for turn in turns]


def patch_covariance(spectrum: Complex, size: int) -> Floats:
    """Covariance of all values of a patch of `size` pixels a side, (C size^2, C size^2), in the order (channel, y, x).

    That of stationary images with this cross-spectrum, which repeat beyond their tile.
    """
    channels, _, h, w = spectrum.shape
    lagged = np.fft.ifft2(spectrum).real
    y, x = (side.ravel() for side in np.mgrid[:size, :size])
    lags = (y[:, None] - y) % h, (x[:, None] - x) % w
    return np.asarray(lagged[:, :, lags[0], lags[1]].transpose(0, 2, 1, 3).reshape(channels * size**2, -1))


def whitening(covariance: Floats) -> Floats:
    """The symmetric A = (covariance + FLOOR times its largest eigenvalue)^-1/2."""
    values, vectors = np.linalg.eigh(covariance)
    raised = np.maximum(values, 0.0) + max(FLOOR * float(values.max()), LEAST_FLOOR)
    return np.asarray((vectors / np.sqrt(raised)) @ vectors.T)


def _by_frequency(spectrum: Complex) -> Complex:
    """Matrices (h, w, C, C) from (C, C, h, w)."""
    return np.moveaxis(spectrum, (0, 1), (2, 3))


def _floor(matrices: Complex, share: float = FLOOR) -> float:
    """That share of the mean power of matrices (h, w, C, C)."""
    power = float(np.trace(matrices, axis1=2, axis2=3).real.mean()) / matrices.shape[2]
    return float(max(share * power, LEAST_FLOOR))


def _kernel(gain: Complex) -> Floats:
    """The kernel (C, C, h, w) with this response (h, w, C, C) as a correlation; o = 0 in the middle."""
    h, w, *_ = gain.shape
    kernel = np.fft.fft2(np.moveaxis(gain, (2, 3), (0, 1))).real / (h * w)
    return np.asarray(np.fft.fftshift(kernel, axes=(2, 3)))


def _response(kernel: Floats) -> Complex:
    """(C, C, h, w), the inverse of `_kernel` but for the order of the axes."""
    h, w = kernel.shape[2:]
    return np.asarray(np.fft.ifft2(np.fft.ifftshift(kernel, axes=(2, 3))) * (h * w))


def _power(matrices: Complex, exponent: float, floor: float) -> Complex:
    """(M + floor)^exponent of Hermitian matrices (..., C, C)."""
    values, vectors = np.linalg.eigh(matrices)
    powers = np.maximum(np.maximum(values, 0.0) + floor, 1e-300) ** exponent
    return np.asarray((vectors * powers[..., None, :]) @ vectors.conj().swapaxes(-1, -2))
