"""Padding and cropping at the ends of any axis."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator
from trainer.frozen.windows import flat_pads

Pads = dict[int, tuple[int, int]]
"""Elements to add at the begin and the end of an axis; negative ones are removed."""


def _mirrored(positions: Tensor, size: int) -> Tensor:
    period = max(2 * (size - 1), 1)
    folded = positions.remainder(period)
    return torch.minimum(folded, period - folded)


_SOURCES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "reflect": _mirrored,
    "edge": lambda positions, size: positions.clamp(0, size - 1),
    "wrap": lambda positions, size: positions.remainder(size),
}
_NATIVE = {"reflect": "reflect", "edge": "replicate"}


def _pad(x: Tensor, pads: Pads, mode: str, value: float) -> Tensor:
    if mode == "constant":
        return functional.pad(x, flat_pads([pads.get(axis, (0, 0)) for axis in range(x.dim())]), value=value)
    pads = {axis: pair for axis, pair in pads.items() if pair != (0, 0)}
    if not pads:
        return x
    if mode in _NATIVE and x.dim() == 4 and min(pads) >= 2 and min(min(pair) for pair in pads.values()) >= 0:
        return functional.pad(x, flat_pads([pads.get(axis, (0, 0)) for axis in (2, 3)]), mode=_NATIVE[mode])
    for axis, (begin, end) in pads.items():
        size = x.shape[axis]
        positions = torch.arange(-begin, size + end, device=x.device)
        x = x.index_select(axis, _SOURCES[mode](positions, size))
    return x


def _read_mode(node: Node, allowed: tuple[str, ...]) -> str:
    mode = node.text("mode", "constant")
    if mode not in allowed:
        raise node.refusal(f"mode is {mode!r}, allowed {allowed}")
    return mode


@operator("Pad", versions=(2,))
def pad_attributes(node: Node) -> Kernel:
    """Pads for all axes (begins, then ends) and value from attributes."""
    mode, flat = _read_mode(node, ("constant", "reflect", "edge")), node.integers("pads") or ()
    value, half = node.real("value", 0.0), len(flat) // 2
    pads = dict(enumerate(zip(flat[:half], flat[half:], strict=True)))
    return lambda x: _pad(x, pads, mode, value)


def _pad_by_inputs(node: Node, modes: tuple[str, ...]) -> Kernel:
    mode = _read_mode(node, modes)

    def apply(x: Tensor, pads: Tensor, value: Tensor | None = None, axes: Tensor | None = None) -> Tensor:
        flat: list[int] = pads.tolist()
        along: list[int] = list(range(x.dim())) if axes is None else [axis % x.dim() for axis in axes.tolist()]
        half = len(flat) // 2
        pairs = dict(zip(along, zip(flat[:half], flat[half:], strict=True), strict=True))
        return _pad(x, pairs, mode, 0.0 if value is None else value.item())

    return apply


@operator("Pad", versions=(11, 13, 18))
def pad_inputs(node: Node) -> Kernel:
    """Pads (begins, then ends), value and, from 18 on, axes from inputs."""
    return _pad_by_inputs(node, ("constant", "reflect", "edge"))


@operator("Pad", versions=(19, 21, 23, 24, 25))
def pad_inputs_or_wrap(node: Node) -> Kernel:
    """As before, and wrapping round."""
    return _pad_by_inputs(node, ("constant", "reflect", "edge", "wrap"))
