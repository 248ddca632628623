"""Cheap corrections of one batch: fits of one family and of two, and a forward search, each stopped on its way.

They need not be good: a forecast must know what half a correction looks like, and what a bad one does. They are made of
the homogenizer's families, fitted to the fitted taps of the batch's fit part; no label is used.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

import torch
from numpy.random import Generator

from trainer.calibration.plan import Settings
from trainer.cascade import Cascade, fit_cascade
from trainer.corrector import Corrector
from trainer.descent import Descent
from trainer.shifts.kind import log_uniform
from trainer.stages import Stage
from trainer.stages.filter import Filter
from trainer.stages.residual import Residual
from trainer.stages.tone import Tone
from trainer.stages.warp import Warp
from trainer.starts import matching_filters, matching_tones, stretched_warps
from trainer.task import Task

STARTS: Mapping[str, Callable[[Task], Sequence[Stage]]] = {
    Warp.name: stretched_warps,
    Filter.name: matching_filters,
    Tone.name: matching_tones,
}
ADDED: Mapping[str, type[Warp | Filter | Residual]] = {Warp.name: Warp, Filter.name: Filter, Residual.name: Residual}
"""Families that a fit of two may go on with: they start as the identity anywhere."""
RATES = {Warp.name: 0.02, Filter.name: 0.015, Tone.name: 0.02, Residual.name: 0.005}
"""Adam's step sizes; their names in the order in which stages follow one another."""
ORDER = list(RATES)


def corrections_of(task: Task, settings: Settings, draw: Generator) -> tuple[Corrector, ...]:
    """A fit of any family, one of the most promising family that goes on with another, and what a job finds first."""
    # Stages draw their first weights from torch's own generator: seeded here, and left as it was found.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        descent = Descent(task, batch=min(settings.batch, len(task.fit)), steps=3 * settings.most_steps)
        starts = [
            descent.ranked([Corrector([stage]) for stage in make(task)], settings.probe)[0] for make in STARTS.values()
        ]
        single = _fit(descent, starts[draw.integers(len(starts))].corrector, settings, draw)
        promising = _fit(descent, min(starts, key=lambda start: start.loss).corrector, settings, draw)
        others = [name for name in ADDED if name not in promising.names()]
        added = ADDED[others[draw.integers(len(others))]](task.frame)
        stages = sorted([*promising.stages, added], key=lambda stage: ORDER.index(stage.name))
        return single, _fit(descent, Corrector(stages), settings, draw), _searched(task, settings, draw)


def _searched(task: Task, settings: Settings, draw: Generator) -> Corrector:
    """What the cascade comes to before any gradient; the identity for a batch that looks clean."""
    looks = round(log_uniform(draw, settings.fewest_looks, settings.most_looks))
    return fit_cascade(task, Cascade(looks=looks, beyond=0.0, residual_rounds=0))


def _fit(descent: Descent, start: Corrector, settings: Settings, draw: Generator) -> Corrector:
    """A copy of `start` after a number of steps that is drawn."""
    steps = round(log_uniform(draw, settings.fewest_steps, settings.most_steps))
    return descent.run(deepcopy(start), steps, RATES, "calibration")
