"""Pools over one to three spatial axes, and over all of them."""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator, plain
from trainer.frozen.windows import MAX_SPATIAL_AXES, Span, Window, flat_pads

_MAX_BY_AXES = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_AVERAGE_BY_AXES = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}
_CONVOLUTION_BY_AXES = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


def _kernel_shape(node: Node) -> tuple[int, ...]:
    kernel = node.integers("kernel_shape")
    if kernel is None or not 1 <= len(kernel) <= MAX_SPATIAL_AXES:
        raise node.refusal(f"kernel_shape is {kernel}, allowed one to {MAX_SPATIAL_AXES} sizes")
    return kernel


def _native_pads(window: Window, kernel: tuple[int, ...]) -> tuple[int, ...] | None:
    """Torch's `padding` if it has one for this node: symmetric, and at most half a window."""
    pads = window.symmetric_pads()
    if pads is None:
        return None
    pads = (0,) * len(kernel) if isinstance(pads, int) else pads
    return pads if all(2 * pad <= size for pad, size in zip(pads, kernel, strict=True)) else None


@operator("MaxPool", versions=(1, 8, 10, 11, 12, 22))
def max_pool(node: Node) -> Kernel:
    """Largest element of each window of (N, C, *spatial); padding never wins."""
    window, kernel = Window.read(node), _kernel_shape(node)
    pool, native = _MAX_BY_AXES[len(kernel)], _native_pads(window, kernel)
    strides, dilations = window.strides or 1, window.dilations or 1
    if native is not None:
        return partial(
            pool, kernel_size=kernel, stride=strides, padding=native, dilation=dilations, ceil_mode=window.ceil
        )

    def apply(x: Tensor) -> Tensor:
        spans = window.spans(tuple(x.shape[2:]), kernel)
        padded = functional.pad(x, flat_pads([(span.begin, span.reach) for span in spans]), value=float("-inf"))
        return pool(padded, kernel_size=kernel, stride=strides, dilation=dilations)

    return apply


@operator("AveragePool", versions=(7, 10, 11, 19, 22))
def average_pool(node: Node) -> Kernel:
    """Mean of each window of (N, C, *spatial), the stated padding counted as zeros or not at all."""
    window, kernel = Window.read(node), _kernel_shape(node)
    native, counts_pads = _native_pads(window, kernel), bool(node.integer("count_include_pad", 0))
    if native is None or any(dilation != 1 for dilation in window.dilations or ()):
        return partial(_average_by_counting, window=window, kernel=kernel, counts_pads=counts_pads)
    return partial(
        _AVERAGE_BY_AXES[len(kernel)],
        kernel_size=kernel,
        stride=window.strides or 1,
        padding=native,
        ceil_mode=window.ceil,
        count_include_pad=counts_pads,
    )


def _average_by_counting(x: Tensor, window: Window, kernel: tuple[int, ...], counts_pads: bool) -> Tensor:
    """Sum of each window over the number of elements that count in it: every case that torch's pools do not have."""
    spans = window.spans(tuple(x.shape[2:]), kernel)
    counted = torch.ones(1, 1, *x.shape[2:], dtype=x.dtype, device=x.device)
    if counts_pads:
        counted = functional.pad(counted, flat_pads([(span.begin, span.end) for span in spans]), value=1.0)
        spent = tuple(Span(0, 0, span.reach - span.end) for span in spans)
    else:
        spent = spans
    images = x.reshape(-1, 1, *x.shape[2:])
    means = _window_sums(images, spans, window, kernel) / _window_sums(counted, spent, window, kernel)
    return means.reshape(*x.shape[:2], *means.shape[2:])


def _window_sums(x: Tensor, spans: tuple[Span, ...], window: Window, kernel: tuple[int, ...]) -> Tensor:
    """(B, 1, *spatial) -> (B, 1, *windows)."""
    padded = functional.pad(x, flat_pads([(span.begin, span.reach) for span in spans]))
    ones = torch.ones(1, 1, *kernel, dtype=x.dtype, device=x.device)
    return _CONVOLUTION_BY_AXES[len(kernel)](padded, ones, None, window.strides or 1, 0, window.dilations or 1)


def _norm_order(node: Node) -> int:
    order = node.integer("p", 2)
    if order < 1:
        raise node.refusal(f"p is {order}, allowed 1 or more; export the model again")
    return order


def _root(sums: Tensor, order: int) -> Tensor:
    # A root has no gradient at zero; a window of zeros gets that of the norm there, zero.
    positive = sums > 0
    return torch.where(positive, torch.where(positive, sums, 1.0) ** (1 / order), 0.0)


@operator("LpPool", versions=(2, 11, 18, 22))
def lp_pool(node: Node) -> Kernel:
    """The p-norm of each window of (N, C, *spatial); padding counts as zeros."""
    window, kernel, order = Window.read(node), _kernel_shape(node), _norm_order(node)

    def apply(x: Tensor) -> Tensor:
        spans = window.spans(tuple(x.shape[2:]), kernel)
        powers = (x.abs() ** order).reshape(-1, 1, *x.shape[2:])
        norms = _root(_window_sums(powers, spans, window, kernel), order)
        return norms.reshape(*x.shape[:2], *norms.shape[2:])

    return apply


@operator("GlobalLpPool", versions=(2,))
def global_lp_pool(node: Node) -> Kernel:
    """The p-norm over all spatial axes, kept with size 1."""
    order = _norm_order(node)
    return lambda x: torch.linalg.vector_norm(x, order, dim=tuple(range(2, x.dim())), keepdim=True)


@operator("GlobalAveragePool", versions=(1, 22))
@plain
def global_average_pool(x: Tensor) -> Tensor:
    """Mean over all spatial axes, kept with size 1."""
    return x.mean(dim=tuple(range(2, x.dim())), keepdim=True)


@operator("GlobalMaxPool", versions=(1, 22))
@plain
def global_max_pool(x: Tensor) -> Tensor:
    """Largest element over all spatial axes, kept with size 1; the gradient is shared where several are largest."""
    return x.amax(dim=tuple(range(2, x.dim())), keepdim=True)
