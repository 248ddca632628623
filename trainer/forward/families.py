"""Small correctors as numpy functions of a few numbers theta, each the identity at theta = 0, smallest first.

Every family turns a theta into the torch stage that computes the same, so that export, parity and gate go on as for any
fit. That one function alone imports torch, when it is called; nothing else here or behind it may.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from service.contract.statistics import Floats
from trainer.forward.kernels import channel_affine, colour_matrix, depthwise, full
from trainer.forward.patterns import Pattern
from trainer.forward.tap_graph import Planes
from trainer.forward.warps import AffineWarp
from trainer.frame import Frame

if TYPE_CHECKING:
    from trainer.stages import Stage


class Family(Protocol):
    """Correctors that a few numbers choose from."""

    @property
    def name(self) -> str:
        """In reports."""

    @property
    def place(self) -> int:
        """Where it stands in a row of families; two of one place exclude one another."""

    @property
    def size(self) -> int:
        """How many numbers theta has."""

    @property
    def bound(self) -> Floats:
        """(size,) largest size of each number."""

    @property
    def step(self) -> Floats:
        """(size,) how much of each number shows what it does."""

    def apply(self, theta: Floats, planes: Planes) -> Planes:
        """Planes (n, C, H, W), corrected."""

    def to_stage(self, theta: Floats) -> "Stage":
        """The torch stage that computes the same."""


Part = tuple[Family, Floats]
"""A family and its theta; a corrector is some of them in a row, in the order of their places."""


def families(frame: Frame) -> tuple[Family, ...]:
    """All families for a frame, smallest first; those that are another's equal for one channel are left out."""
    every: list[Family] = [channel_affine(frame), depthwise(frame), AffineWarp(frame), Pattern(frame)]
    every += [colour_matrix(frame), full(frame)] if frame.shape[0] > 1 else []
    return tuple(sorted(every, key=lambda family: (family.size, family.place)))


def apply(parts: Sequence[Part], planes: Planes) -> Planes:
    """Planes (n, C, H, W) behind all parts."""
    for family, theta in parts:
        planes = family.apply(theta, planes)
    return np.ascontiguousarray(planes, dtype=np.float32)


def stages(parts: Sequence[Part]) -> "list[Stage]":
    """The torch stages of a corrector, in order. Imports torch."""
    return [family.to_stage(theta) for family, theta in parts]
