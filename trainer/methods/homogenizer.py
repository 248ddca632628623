"""Homogenizer: bring the statistics at the taps back to the source's, with no label and no source image.

After Willis & Oala, "Post-hoc domain adaptation via guided data homogenization" (2021), with a scale-free loss, stages
that start as the identity, no batch statistics inside the corrector, and its size chosen by taps that are never fitted:

1. If the uncorrected batch already looks like clean source batches on the reserved taps, there is nothing to fit.
2. Families are fitted smallest first: warp, filter, tone, warp + filter, deconvolution.
3. Where a family has several starts that lead to different ends, each is fitted to its end; the one closest on reserved
   taps, on the select part, stands for the family: the fitted taps often prefer the worse.
4. A larger family replaces the best so far only if its loss on reserved taps, on the select part, is lower by more than
   two standard errors; fitting stops when that loss is that of a clean source batch.
5. Behind the closest family a residual network is fitted, in rounds, for as long as a round is worth taking.

That is the preset `default`. The preset `paper` is what the paper and its authors' code do: `trainer.homogenization`.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field

import torch

from service.contract.job import Progress
from trainer.choice import Choice
from trainer.corrector import Corrector
from trainer.descent import Descent
from trainer.homogenization import Paper, fit_paper
from trainer.stages.deconvolution import Deconvolution
from trainer.stages.filter import Filter
from trainer.stages.residual import Residual
from trainer.stages.tone import Tone
from trainer.stages.warp import Warp
from trainer.starts import deconvolutions, matching_filters, matching_tones, stretched_warps
from trainer.task import Task


@dataclass(frozen=True)
class Config:
    """Every choice of the method.

    Attributes:
        batch: images in one gradient step.
        probe: images on which starting points are compared, and in one step of their race.
        warp_steps, filter_steps, tone_steps, both_steps, deconvolution_steps, residual_steps: gradient steps of each
            fit; of the residual network, of each round.
        race_steps: steps of constant size in front of `both_steps` and of `deconvolution_steps`, for each start.
        racers: closed-form starts of a deconvolution that race.
        hopeless: a deconvolution whose loss after the race is that many times the best's is given up.
        residual_rounds: the most rounds of the residual network.
        patience: of these, how many in a row may be worth nothing.
        warp_rate, filter_rate, tone_rate, deconvolution_rate, residual_rate: Adam's step size for the numbers of each
            stage.
        settled_share: of that step size, for stages that were fitted before and go on with the residual network.
        closed_form, pattern: see `trainer.starts.deconvolutions`.
        scale_free: whether each channel's moments are compared in units of the source's; else as in the paper.
        criterion_weight: of the cross-entropy with the images' labels, in studies that have them.
        errors: standard errors by which a larger family must be better.
        resamples: bootstrap samples behind a standard error.
    """

    batch: int = 96
    probe: int = 64
    warp_steps: int = 25
    filter_steps: int = 25
    tone_steps: int = 25
    race_steps: int = 15
    both_steps: int = 45
    deconvolution_steps: int = 60
    racers: int = 4
    hopeless: float = 3.0
    residual_steps: int = 40
    residual_rounds: int = 8
    patience: int = 3
    warp_rate: float = 0.02
    filter_rate: float = 0.015
    tone_rate: float = 0.02
    deconvolution_rate: float = 0.02
    residual_rate: float = 0.005
    settled_share: float = 0.25
    closed_form: bool = True
    pattern: bool = True
    scale_free: bool = True
    criterion_weight: float = 0.0
    errors: float = 2.0
    resamples: int = 100


PRESETS: Mapping[str, Config | Paper] = {"default": Config(), "paper": Paper()}


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
    descent = Descent(
        task,
        batch=config.batch,
        steps=_most_steps(config),
        scale_free=config.scale_free,
        criterion_weight=config.criterion_weight,
    )
    search = _Search(config, descent, Choice(task, errors=config.errors, resamples=config.resamples))
    for name, build in FAMILIES.items():
        if search.choice.is_done:
            break
        candidates = build(search)
        if candidates:
            search.found[name] = search.choice.closest(candidates)
            search.choice.consider(search.found[name])
    if not search.choice.is_done:
        _complete(search)
    task.report(Progress(share=1.0, step="fitted"))
    return search.choice.best


@dataclass(frozen=True)
class _Search:
    """What the families share, and what each has found."""

    config: Config
    descent: Descent
    choice: Choice
    found: dict[str, Corrector] = field(default_factory=dict)

    @property
    def rates(self) -> dict[str, float]:
        """Step size of each stage."""
        return {
            Warp.name: self.config.warp_rate,
            Filter.name: self.config.filter_rate,
            Tone.name: self.config.tone_rate,
            Deconvolution.name: self.config.deconvolution_rate,
            Residual.name: self.config.residual_rate,
        }


def _fit_warp(search: _Search) -> list[Corrector]:
    starts = [Corrector([warp]) for warp in stretched_warps(search.descent.task)]
    start = search.descent.ranked(starts, search.config.probe)[0]
    return [search.descent.run(start.corrector, search.config.warp_steps, search.rates, "warp")]


def _fit_filter(search: _Search) -> list[Corrector]:
    starts = [Corrector([filter_]) for filter_ in matching_filters(search.descent.task)]
    start = search.descent.ranked(starts, search.config.probe)[0]
    return [search.descent.run(start.corrector, search.config.filter_steps, search.rates, "filter")]


def _fit_tone(search: _Search) -> list[Corrector]:
    starts = [Corrector([tone]) for tone in matching_tones(search.descent.task)]
    start = search.descent.ranked(starts, search.config.probe)[0]
    return [search.descent.run(start.corrector, search.config.tone_steps, search.rates, "tone")]


def _fit_both(search: _Search) -> list[Corrector]:
    """Whether geometry or filter explains more shows only when either is completed by the other: both are tried."""
    frame, config, label = search.descent.task.frame, search.config, "warp+filter"
    (warp,), (filter_,) = (deepcopy(search.found[name].stages) for name in ("warp", "filter"))
    racers = [Corrector([warp, Filter(frame)]), Corrector([Warp(frame), filter_])]
    for racer in racers:
        search.descent.run(racer, config.race_steps, search.rates, label, decay=False)
        search.descent.run(racer, config.both_steps, search.rates, label)
    return racers


def _fit_deconvolution(search: _Search) -> list[Corrector]:
    """The statistics of pixels leave the phase of the filter open: several race, the best two go to the end."""
    descent, config, label = search.descent, search.config, "deconvolution"
    stages = deconvolutions(descent.task, closed_form=config.closed_form, pattern=config.pattern)
    starts = [Corrector([stage]) for stage in stages]
    racers = [ranked.corrector for ranked in descent.ranked(starts, config.probe)[: config.racers]]
    for racer in racers:
        descent.run(racer, config.race_steps, search.rates, label, decay=False, batch=config.probe)
    (best,) = descent.ranked([search.choice.best], config.probe)
    ended = [ranked for ranked in descent.ranked(racers, config.probe)[:2] if ranked.loss < config.hopeless * best.loss]
    return [descent.run(ranked.corrector, config.deconvolution_steps, search.rates, label) for ranked in ended]


FAMILIES: Mapping[str, Callable[[_Search], list[Corrector]]] = {
    "warp": _fit_warp,
    "filter": _fit_filter,
    "tone": _fit_tone,
    "warp+filter": _fit_both,
    "deconvolution": _fit_deconvolution,
}
"""Smallest first; what a family returns may be empty."""


def _complete(search: _Search) -> None:
    """Fit a residual network behind the closest, round by round, until it is done or the rounds are worth nothing."""
    config, choice = search.config, search.choice
    rates = {name: rate * config.settled_share for name, rate in search.rates.items()}
    rates[Residual.name] = config.residual_rate
    closest = choice.closest(list(search.found.values()))
    corrector = Corrector([*deepcopy(closest.stages), Residual(search.descent.task.frame)])
    in_vain = 0
    for _ in range(config.residual_rounds):
        corrector = search.descent.run(deepcopy(corrector), config.residual_steps, rates, "residual")
        in_vain = 0 if choice.consider(corrector) else in_vain + 1
        if choice.is_done or in_vain == config.patience:
            break


def _most_steps(config: Config) -> int:
    both = config.warp_steps + config.filter_steps + config.tone_steps + 2 * (config.race_steps + config.both_steps)
    deconvolution = config.racers * config.race_steps + 2 * config.deconvolution_steps
    return both + deconvolution + config.residual_rounds * config.residual_steps
