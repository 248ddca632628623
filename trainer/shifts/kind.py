"""What a kind of batch is made of. Knows no model, no file and no kind by name.

Images are planes (n, C, H, W) float32 in units of the camera, 0 black and 1 white; a shift that no camera clips may
leave that range. Every function here and in the files of ingredients is pure: what it draws comes from the generator
that it is given.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Planes = NDArray[np.float32]


class Labelled(NamedTuple):
    """Images (n, C, H, W) and their classes (n,)."""

    images: Planes
    labels: NDArray[np.int64]

    def take(self, rows: NDArray[np.integer[Any]]) -> Self:
        """Some rows, in their order."""
        return self._replace(images=self.images[rows], labels=self.labels[rows])


class Use(StrEnum):
    """What a kind may be used for; no kind is used for both, see the rule in `trainer.shifts`."""

    CALIBRATION = "calibration"
    JUDGING = "judging"


class Answer(StrEnum):
    """What is right for source images: keep the identity, correct where it helps, or at least do no harm."""

    CLEAN = "clean"
    SHIFT = "shift"
    HOSTILE = "hostile"


@dataclass(frozen=True)
class Scene:
    """What an ingredient may know of the images before it changes them.

    Attributes:
        shape: channels, height, width.
        mean, std: (C,) of all their pixels.
    """

    shape: tuple[int, int, int]
    mean: Planes
    std: Planes

    @classmethod
    def of(cls, images: Planes) -> Self:
        """Of images (n, C, H, W)."""
        channels, height, width = images.shape[1:]
        mean, std = (f(axis=(0, 2, 3), dtype=np.float64).astype(np.float32) for f in (images.mean, images.std))
        # A flat channel has no contrast to measure anything in units of.
        return cls((channels, height, width), mean, np.maximum(std, np.float32(1e-3)))


Step = Callable[[Labelled, Generator], Labelled]
"""Changes or chooses images, its strengths fixed; what differs from image to image comes from the generator."""


class Drawn(NamedTuple):
    """An ingredient with its strengths drawn: the step, and the strengths by name."""

    step: Step
    settings: Mapping[str, float]


Ingredient = Callable[[Scene, Generator], Drawn]
"""Draws strengths within its stated range."""


@dataclass(frozen=True)
class Kind:
    """One kind of batch.

    Attributes:
        words: what it is, for a table.
        pick: which images are posted, of a whole pool in random order. shift: what happened to all images of this
            domain, those that accuracy is judged on too. spoil: what somebody put into the batch; never judged on.
        stream: kinds with one stream have the same images and the same shift where their first steps are the same.
        own_size: the most images that it posts, for one that says itself how many; else 0.
    """

    name: str
    words: str
    use: Use
    answer: Answer
    pick: tuple[Ingredient, ...] = ()
    shift: tuple[Ingredient, ...] = ()
    spoil: tuple[Ingredient, ...] = ()
    stream: str = ""
    own_size: int = 0


def on_images(change: Callable[[Planes], Planes]) -> Step:
    """A step that treats every image alike and keeps labels."""
    return lambda batch, _random: batch._replace(images=change(batch.images))


def uniform(random: Generator, low: float, high: float) -> float:
    """A number from a range."""
    return float(random.uniform(low, high))


def log_uniform(random: Generator, low: float, high: float) -> float:
    """A number from a range whose halves and doubles are equally likely."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def camera(images: NDArray[Any]) -> Planes:
    """As a camera would hand them on: float32, clipped to what it can tell apart."""
    return np.asarray(np.clip(images, 0.0, 1.0), dtype=np.float32)
