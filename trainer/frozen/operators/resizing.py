"""Resize and Upsample: every axis is resampled on its own.

Where the pixels of a result come from is worked out in `resampling`; here are attributes and inputs only. The one
coordinate transformation that is not computed is tf_crop_and_resize, which is no resizing but a crop.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from trainer.frozen import resampling
from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator
from trainer.frozen.resampling import Axis, Filter

Goal = tuple[int, float]
"""The new size of an axis and the factor that its coordinates are scaled by."""


class _Policy(NamedTuple):
    """How sizes are read; `keeps` chooses the factor that all axes share, None if each has its own."""

    axes: tuple[int, ...] | None
    keeps: Callable[[list[float]], float] | None


_POLICIES: dict[str, Callable[[list[float]], float] | None] = {"stretch": None, "not_larger": min, "not_smaller": max}


def _choice(node: Node, attribute: str, default: str, allowed: tuple[str, ...]) -> str:
    value = node.text(attribute, default)
    if value not in allowed:
        raise node.refusal(f"{attribute} is {value!r}, allowed {allowed}; export the model with one of them")
    return value


def _by_scales(sizes: tuple[int, ...], scales: list[float]) -> list[Goal]:
    return [(resampling.scaled(size, scale), scale) for size, scale in zip(sizes, scales, strict=True)]


def _by_sizes(sizes: tuple[int, ...], wanted: list[int], policy: _Policy) -> list[Goal]:
    scales = [resampling.ratio(goal, size) for goal, size in zip(wanted, sizes, strict=True)]
    if policy.keeps is None:
        return list(zip(wanted, scales, strict=True))
    scale = policy.keeps(scales)
    return [(resampling.rounded(size, scale), scale) for size in sizes]


def _resample(x: Tensor, axes: tuple[int, ...], goals: list[Goal], choice: Filter) -> Tensor:
    if all(size == x.shape[axis] for axis, (size, _) in zip(axes, goals, strict=True)):
        # onnxruntime copies a result of the same sizes, whatever its factors say.
        return x
    for axis, (size, scale) in zip(axes, goals, strict=True):
        if scale != 1.0 or size != x.shape[axis]:
            x = _resample_axis(x, axis, Axis(x.shape[axis], size, scale), choice)
    return x


def _resample_axis(x: Tensor, axis: int, geometry: Axis, choice: Filter) -> Tensor:
    if choice.mode != "nearest":
        weights = torch.from_numpy(resampling.weights(geometry, choice)).to(x.device, x.dtype)
        return (x.movedim(axis, -1) @ weights.t()).movedim(-1, axis)
    copies = resampling.copies(geometry, choice)
    if copies is not None:
        # The same as picking, but its gradient is a plain sum.
        spread = x.unsqueeze(axis + 1).expand(*x.shape[: axis + 1], copies, *x.shape[axis + 1 :])
        return spread.flatten(axis, axis + 1)
    return x.index_select(axis, torch.from_numpy(resampling.picks(geometry, choice)).to(x.device))


@operator("Upsample", versions=(7,))
def upsample_by_attribute(node: Node) -> Kernel:
    """To the sizes times the factors in the attribute `scales`."""
    choice, scales = _old_filter(node), node.attributes.get("scales")
    if not isinstance(scales, tuple):
        raise node.refusal(f"scales is {scales!r}, expected a float per axis; export the model again")
    factors = [float(scale) for scale in scales]
    return lambda x: _resample(x, tuple(range(x.dim())), _by_scales(tuple(x.shape), factors), choice)


@operator("Upsample", versions=(9,))
@operator("Resize", versions=(10,))
def resize_by_scales(node: Node) -> Kernel:
    """To the sizes times the factors in the second input."""
    choice = _old_filter(node)

    def apply(x: Tensor, scales: Tensor) -> Tensor:
        return _resample(x, tuple(range(x.dim())), _by_scales(tuple(x.shape), scales.tolist()), choice)

    return apply


def _old_filter(node: Node) -> Filter:
    mode = _choice(node, "mode", "nearest", ("nearest", "linear"))
    return Filter(mode, "asymmetric", "simple")


@operator("Resize", versions=(11, 13, 18, 19))
def resize(node: Node) -> Kernel:
    """To stated sizes, or to the sizes times stated factors, along all axes or those in the attribute `axes`."""
    if node.integer("antialias", 0):
        raise node.refusal("antialias is 1, allowed 0; resize before the model, or export without antialiasing")
    choice = Filter(
        _choice(node, "mode", "nearest", ("nearest", "linear", "cubic")),
        _choice(node, "coordinate_transformation_mode", "half_pixel", resampling.TRANSFORMATIONS),
        _choice(node, "nearest_mode", "round_prefer_floor", resampling.NEAREST_MODES),
        node.real("cubic_coeff_a", -0.75),
        bool(node.integer("exclude_outside", 0)),
    )
    keeps = _POLICIES[_choice(node, "keep_aspect_ratio_policy", "stretch", tuple(_POLICIES))]
    policy = _Policy(node.integers("axes"), keeps)

    def apply(
        x: Tensor, _roi: Tensor | None = None, scales: Tensor | None = None, sizes: Tensor | None = None
    ) -> Tensor:
        axes = tuple(range(x.dim())) if policy.axes is None else tuple(axis % x.dim() for axis in policy.axes)
        present = tuple(x.shape[axis] for axis in axes)
        if sizes is not None and sizes.numel():
            return _resample(x, axes, _by_sizes(present, sizes.tolist(), policy), choice)
        if scales is None or not scales.numel():
            raise node.refusal("neither scales nor sizes are given, expected one of them; export the model again")
        return _resample(x, axes, _by_scales(present, scales.tolist()), choice)

    return apply
