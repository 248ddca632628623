"""Homogenizer: bring the statistics at the taps back to the source's, with no label and no source image.

After Willis & Oala, "Post-hoc domain adaptation via guided data homogenization" (2021), with a scale-free loss, stages
that start as the identity, no batch statistics inside the corrector, and its size chosen by taps that are never fitted:

1. If the uncorrected batch already looks like clean source batches on the reserved taps, there is nothing to fit.
2. Families are fitted smallest first: warp, filter, warp + filter, warp + filter + residual; each starts from what the
   smaller ones found.
3. Warp and filter together are fitted from either one to the end; the one closer on reserved taps, on the select part,
   stands for the family: the fitted taps often prefer the worse.
4. A larger family replaces the best so far only if its loss on reserved taps, on the select part, is lower by more than
   two standard errors; fitting stops when that loss is that of a clean source batch.

That is the preset `default`. The preset `paper` is what the paper and its authors' code do: `trainer.homogenization`.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from service.contract.distances import statistics_loss
from service.contract.job import Progress
from service.contract.statistics import TapMoments, pool, take
from trainer.corrector import Corrector
from trainer.homogenization import Paper, fit_paper
from trainer.losses.moments import MomentLoss
from trainer.measure import tap_moments
from trainer.stages.filter import Filter
from trainer.stages.residual import Residual
from trainer.stages.warp import Warp
from trainer.task import Task


@dataclass(frozen=True)
class Config:
    """Every choice of the method.

    Attributes:
        batch: images in one gradient step.
        probe: images on which starting points are compared.
        warp_steps, filter_steps, both_steps, residual_steps: gradient steps of each fit.
        race_steps: steps of constant size in front of `both_steps`, for either of the two starts.
        warp_rate, filter_rate, residual_rate: Adam's step size for the numbers of each stage.
        errors: standard errors by which a larger family must be better.
        resamples: bootstrap samples behind a standard error.
    """

    batch: int = 96
    probe: int = 64
    warp_steps: int = 25
    filter_steps: int = 25
    race_steps: int = 15
    both_steps: int = 45
    residual_steps: int = 20
    warp_rate: float = 0.02
    filter_rate: float = 0.015
    residual_rate: float = 0.005
    errors: float = 2.0
    resamples: int = 100


PRESETS: Mapping[str, Config | Paper] = {"default": Config(), "paper": Paper()}

SCALES = (0.65, 0.8, 1.0, 1.25, 1.55)
"""Stretches tried in either direction before a warp is fitted: the loss has a valley at each of several sizes."""


def fit(task: Task, config: Config | Paper) -> Corrector:
    """The smallest corrector that brings the select part's reserved taps as close to the source as any, or the paper's.

    Raises:
        NoSource, ValueError: see `fit_paper`.
    """
    if isinstance(config, Paper):
        return fit_paper(task, config)
    # Stages draw their first weights from torch's own generator: seeded here, and left as it was found.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        return _search(task, config)


def _search(task: Task, config: Config) -> Corrector:
    descent = _Descent(task, config)
    choice = _Choice(task, config)
    found: dict[str, Corrector] = {}
    for name, build in FAMILIES.items():
        if choice.is_done:
            break
        found[name] = choice.closest(build(descent, found))
        choice.consider(found[name])
    task.report(Progress(share=1.0, step="fitted"))
    return choice.best


def _fit_warp(descent: "_Descent", _found: dict[str, Corrector]) -> list[Corrector]:
    starts = [Warp(descent.frame) for _ in range(len(SCALES) ** 2)]
    stretches = [(horizontal, vertical) for horizontal in SCALES for vertical in SCALES]
    for warp, stretch in zip(starts, stretches, strict=True):
        warp.stretch(*stretch)
    start = descent.closest([Corrector([warp]) for warp in starts])
    return [descent.run(start, descent.config.warp_steps, "warp")]


def _fit_filter(descent: "_Descent", _found: dict[str, Corrector]) -> list[Corrector]:
    starts = [Filter(descent.frame), *descent.matching_filters()]
    start = descent.closest([Corrector([filter_]) for filter_ in starts])
    return [descent.run(start, descent.config.filter_steps, "filter")]


def _fit_both(descent: "_Descent", found: dict[str, Corrector]) -> list[Corrector]:
    """Whether geometry or filter explains more shows only when either is completed by the other: both are tried."""
    frame, config = descent.frame, descent.config
    (warp,), (filter_,) = (deepcopy(found[name].stages) for name in ("warp", "filter"))
    racers = [Corrector([warp, Filter(frame)]), Corrector([Warp(frame), filter_])]
    for racer in racers:
        descent.run(racer, config.race_steps, "warp+filter", decay=False)
        descent.run(racer, config.both_steps, "warp+filter")
    return racers


def _fit_all(descent: "_Descent", found: dict[str, Corrector]) -> list[Corrector]:
    stages = [*deepcopy(found["warp+filter"].stages), Residual(descent.frame)]
    return [descent.run(Corrector(stages), descent.config.residual_steps, "warp+filter+residual")]


FAMILIES = {"warp": _fit_warp, "filter": _fit_filter, "warp+filter": _fit_both, "warp+filter+residual": _fit_all}
"""Smallest first."""


class _Descent:
    """Gradient steps on the fitted taps of the fit part."""

    def __init__(self, task: Task, config: Config) -> None:
        self.config = config
        self.frame = task.frame
        self._task = task
        source = task.fingerprint.moments()
        self._loss = MomentLoss({name: source[name] for name in task.fitted_taps})
        self._draw = torch.Generator().manual_seed(task.seed)
        self._probe = task.fit[: config.probe]
        c = config
        self._all_steps = c.warp_steps + c.filter_steps + 2 * (c.race_steps + c.both_steps) + c.residual_steps
        self._steps_done = 0

    def run(self, corrector: Corrector, steps: int, label: str, *, decay: bool = True) -> Corrector:
        """Adam for `steps` mini-batches, with a cosine decay of its step size unless told otherwise."""
        rates = {
            "warp": self.config.warp_rate,
            "filter": self.config.filter_rate,
            "residual": self.config.residual_rate,
        }
        groups = [{"params": list(stage.parameters()), "lr": rates[stage.name]} for stage in corrector.stages]
        optimiser = torch.optim.Adam(groups, betas=(0.9, 0.95))
        schedule = CosineAnnealingLR(optimiser, steps) if decay else None
        for _ in range(steps):
            rows = torch.randperm(len(self._task.fit), generator=self._draw)[: self.config.batch]
            loss = self._loss(self._taps(corrector(self._task.fit[rows])))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimiser.step()
            if schedule is not None:
                schedule.step()
            self._tell(label, loss)
        return corrector

    @torch.no_grad()
    def closest(self, candidates: Sequence[Corrector]) -> Corrector:
        """The candidate with the lowest loss on the probe images; the first of equals."""
        losses = [float(self._loss(self._taps(candidate(self._probe)))) for candidate in candidates]
        return candidates[int(np.nanargmin(losses))] if np.isfinite(losses).any() else candidates[0]

    def matching_filters(self) -> list[Filter]:
        """Filters that give every channel the source's mean and standard deviation, upright and inverted."""
        pixels = self._task.fingerprint.pixels
        if pixels is None:
            return []
        wanted = torch.from_numpy(np.sqrt(np.diag(pixels.cov))).float(), torch.from_numpy(pixels.mean).float()
        spread, mean = torch.std_mean(self._task.fit, dim=(0, 2, 3))
        gain = wanted[0] / spread.clamp_min(1e-6)
        filters = [Filter(self.frame), Filter(self.frame)]
        for filter_, sign in zip(filters, (1.0, -1.0), strict=True):
            filter_.scale(sign * gain, wanted[1] - sign * gain * mean)
        return filters

    def _taps(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return self._task.frozen.taps_only(images, self._loss.taps)

    def _tell(self, label: str, loss: torch.Tensor) -> None:
        self._steps_done += 1
        if self._steps_done % 5 == 0:
            share = min(1.0, self._steps_done / self._all_steps)
            self._task.report(Progress(share=share, step=f"fit {label}", loss=loss.item()))


class _Choice:
    """The best corrector so far, judged on the reserved taps of the select part."""

    def __init__(self, task: Task, config: Config) -> None:
        self._task = task
        self._config = config
        self._source = {name: task.fingerprint.moments()[name] for name in task.reserved_taps}
        reference = task.fingerprint.reference
        self._clean = reference.at(len(task.select), reserved=True)[1] if reference else 0.0
        self.best = Corrector()
        self._moments = self._measure(self.best)

    @property
    def is_done(self) -> bool:
        """Whether the best is as close to the source as a clean batch of this size."""
        return self._loss(self._moments) <= self._clean

    def closest(self, candidates: Sequence[Corrector]) -> Corrector:
        """The candidate with the lowest loss; the first of equals."""
        return min(candidates, key=lambda candidate: self._loss(self._measure(candidate)))

    def consider(self, candidate: Corrector) -> None:
        """Take the candidate if it is better by more than chance."""
        moments = self._measure(candidate)
        gain = self._loss(self._moments) - self._loss(moments)
        if gain > self._config.errors * self._standard_error(self._moments, moments):
            self.best, self._moments = candidate, moments

    def _measure(self, corrector: Corrector) -> TapMoments:
        return tap_moments(self._task.frozen, corrector, self._task.select, self._task.reserved_taps)

    def _loss(self, moments: TapMoments) -> float:
        return statistics_loss(pool(moments), self._source, self._task.reserved_taps)

    def _standard_error(self, before: TapMoments, after: TapMoments) -> float:
        """Of the difference of both losses, over paired bootstrap samples of the images."""
        count = len(self._task.select)
        draw = np.random.default_rng(self._task.seed)
        samples = [draw.integers(0, count, count) for _ in range(self._config.resamples)]
        return float(np.std([self._loss(take(after, rows)) - self._loss(take(before, rows)) for rows in samples]))
