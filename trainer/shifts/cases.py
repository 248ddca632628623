"""From a kind and a seed to a batch, and to the images that a corrector fitted to it is judged on."""

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.random import Generator

from service.contract.input_spec import InputSpec
from trainer.shifts.kind import Drawn, Ingredient, Kind, Labelled, Planes, Scene

STRENGTHS, ROWS, BATCH, JUDGED, SPOILT = range(5)
"""Streams of random numbers: what is drawn for one is no other's, so that a larger batch has the same shift."""


@dataclass(frozen=True)
class ShiftCase:
    """One batch.

    Attributes:
        batch: what is posted; its labels are for counting alone.
        judged: other images under the same shift, with nothing spoilt and no class left out.
        settings: every strength that was drawn, by name.
    """

    batch: Labelled
    judged: Labelled
    settings: dict[str, float]


def make_case(kind: Kind, pool: Labelled, judged: Labelled, *, count: int, seed: int) -> ShiftCase:
    """Draw strengths, choose up to `count` images of the pool, shift both parts, spoil the batch.

    The same arguments give the same images. Fewer than `count` are posted where the kind finds no more in the pool, or
    says itself how many.
    """
    scene = Scene.of(pool.images)
    strengths = _stream(kind, seed, STRENGTHS)
    # Drawn one after the other from one stream: spoiling comes last, and leaves kinds of one stream the same before.
    pick, shift, spoil = (_draw(part, scene, strengths) for part in (kind.pick, kind.shift, kind.spoil))
    rows = _stream(kind, seed, ROWS)
    picked = _apply(pick, pool.take(rows.permutation(len(pool.labels))), rows)
    batch = picked.take(np.arange(min(kind.own_size or count, len(picked.labels))))
    batch = _apply(shift, batch, _stream(kind, seed, BATCH))
    batch = _apply(spoil, batch, _stream(kind, seed, SPOILT))
    drawn = [item for part in (pick, shift, spoil) for step in part for item in step.settings.items()]
    return ShiftCase(batch, _apply(shift, judged, _stream(kind, seed, JUDGED)), _numbered(drawn))


def to_units(planes: Planes, spec: InputSpec) -> Planes:
    """A model's planes in units of the camera, 0 black and 1 white."""
    low, high = (bound[:, None, None] for bound in spec.plane_bounds())
    return np.asarray((planes - low) / (high - low), dtype=np.float32)


def from_units(images: Planes, spec: InputSpec) -> Planes:
    """Back to a model's planes, as its element type can hold them."""
    low, high = (bound[:, None, None] for bound in spec.plane_bounds())
    return spec.to_planes(spec.to_tensor(np.asarray(images * (high - low) + low, dtype=np.float32)))


def _stream(kind: Kind, seed: int, purpose: int) -> Generator:
    return np.random.default_rng([seed, crc32((kind.stream or kind.name).encode()), purpose])


def _draw(ingredients: Sequence[Ingredient], scene: Scene, random: Generator) -> list[Drawn]:
    return [ingredient(scene, random) for ingredient in ingredients]


def _apply(steps: Sequence[Drawn], batch: Labelled, random: Generator) -> Labelled:
    for drawn in steps:
        batch = drawn.step(batch, random)
    return batch


def _numbered(drawn: Sequence[tuple[str, float]]) -> dict[str, float]:
    """As a mapping; a name that comes twice gets a number from its second time on."""
    settings: dict[str, float] = {}
    for name, value in drawn:
        again = sum(known.rstrip("0123456789") == name for known in settings)
        settings[f"{name}{again + 1}" if again else name] = value
    return settings
