"""Which batches a gate is calibrated on: kinds, sizes and images, all from one seed.

A *pair* is two batches of different kinds: what is fitted to one is a wrong correction of the other. It depends on the
settings and its number alone, so that pairs can be made in any order and by different runs.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from service.contract.input_spec import InputSpec
from trainer.datasets import Dataset
from trainer.shifts.cases import from_units, make_case, to_units
from trainer.shifts.kind import Kind, Labelled, Planes, Use, log_uniform
from trainer.shifts.registry import KINDS

CALIBRATION_KINDS: tuple[Kind, ...] = tuple(kind for kind in KINDS.values() if kind.use is Use.CALIBRATION)
POSTED_SHARE = 2 / 3
"""Of the source images, what batches are drawn from; accuracy is measured on the others."""
MOST_IMAGES, MOST_VALUES = 6_000, 1 << 27
"""Of the source, drawn anew for each pair: images, and input values of all of them together."""
FEWEST_POSTED = 8
"""Where a kind finds fewer images in the pool, which are posted is left to chance."""
ORDER, PAIR = 0, 1
"""Streams of random numbers: of the order of kinds, and of all else."""


@dataclass(frozen=True)
class Settings:
    """How much is done.

    Attributes:
        pairs: of batches. Multiples of half the number of kinds have every kind equally often.
        fewest, most: images in a batch; all doublings between are as likely.
        measured: images that accuracy is measured on, for each batch.
        batch, probe: images in a gradient step, and images on which starting points are compared.
        fewest_steps, most_steps: gradient steps of a fit; all doublings between are as likely.
        fewest_looks, most_looks: the same of a forward search, at all of a batch's fitted images.
        seed: of every draw.
    """

    pairs: int = 60
    fewest: int = 16
    most: int = 512
    measured: int = 400
    batch: int = 48
    probe: int = 24
    fewest_steps: int = 4
    most_steps: int = 24
    fewest_looks: int = 8
    most_looks: int = 32
    seed: int = 0


@dataclass(frozen=True)
class Batch:
    """One batch, as the model's planes.

    Attributes:
        posted: (n, C, H, W). judged, labels: other images under the same shift, and their classes.
        seed: of the batch's split and fits.
    """

    kind: Kind
    posted: Planes
    judged: Planes
    labels: NDArray[np.int64]
    seed: int


def pair_of(source: Dataset, spec: InputSpec, settings: Settings, number: int) -> tuple[Batch, Batch]:
    """The two batches of a pair; no image that is posted is one that accuracy is measured on."""
    assert source.labels is not None
    draw = np.random.default_rng([settings.seed, PAIR, number])
    order = draw.permutation(len(source.labels))[: min(MOST_IMAGES, MOST_VALUES // source.images[0].size)]
    cut = round(POSTED_SHARE * len(order))
    pool, others = (
        Labelled(to_units(source.images[rows], spec), source.labels[rows])
        for rows in (order[:cut], order[cut : cut + settings.measured])
    )
    first, second = (_batch(kind, pool, others, spec, settings, draw) for kind in kinds_of(settings.seed, number))
    return first, second


def kinds_of(seed: int, number: int) -> tuple[Kind, Kind]:
    """The kinds of a pair: each round of pairs goes through all kinds once, in another order."""
    a_round = len(CALIBRATION_KINDS) // 2
    order = np.random.default_rng([seed, ORDER, number // a_round]).permutation(len(CALIBRATION_KINDS))
    at = 2 * (number % a_round)
    return CALIBRATION_KINDS[order[at]], CALIBRATION_KINDS[order[at + 1]]


def _batch(kind: Kind, pool: Labelled, others: Labelled, spec: InputSpec, settings: Settings, draw: Generator) -> Batch:
    count, seed = round(log_uniform(draw, settings.fewest, settings.most)), int(draw.integers(2**31))
    case = make_case(kind, pool, others, count=count, seed=seed)
    if len(case.batch.labels) < FEWEST_POSTED:
        # A class with an image or two was to be most of the batch.
        case = make_case(replace(kind, pick=()), pool, others, count=count, seed=seed)
    posted, judged = (from_units(images, spec) for images in (case.batch.images, case.judged.images))
    return Batch(kind, posted, judged, case.judged.labels, seed)
