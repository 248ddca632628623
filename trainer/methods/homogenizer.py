"""Homogenizer: bring the statistics at the taps back to the source's, with no label and no source image.

After Willis & Oala, "Post-hoc domain adaptation via guided data homogenization" (2021), with a scale-free loss, stages
that start as the identity, no batch statistics inside the corrector, and its size chosen by taps that are never fitted:

1. If the uncorrected batch already looks like clean source batches on the reserved taps, there is nothing to fit.
2. Families of one stage, warp, filter, tone and deconvolution, are compared by closed forms and grids of starts; the
   most promising is fitted first. Warp and filter together come last.
3. The starts of a deconvolution race on the fitted taps, the closer half goes on until one is left, and that is fitted.
   Warp and filter together are fitted from both ends; the closer on reserved taps, on the select part, stands for them.
4. A family replaces the best so far only if its loss on reserved taps, on the select part, is lower by more than two
   standard errors; fitting stops when that loss, on all images, is that of an average clean source batch.
5. A deconvolution that is the best goes on in rounds, and behind the closest family a residual network is fitted in
   rounds, each for as long as a round is worth taking.

That is the preset `default`. A job gets `cascade`, which is after the same in seconds: `trainer.cascade`. The preset
`paper` is what the paper and its authors' code do: `trainer.homogenization`.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import torch

from service.contract.job import Progress
from trainer.cascade import Cascade, fit_cascade
from trainer.choice import Choice
from trainer.corrector import Corrector
from trainer.descent import Descent, Ranked
from trainer.homogenization import Paper, fit_paper
from trainer.plugins import JOB_PRESET
from trainer.race import race
from trainer.refinement import Refinement
from trainer.stages import Stage
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
        probe: images on which starting points are compared.
        warp_steps, filter_steps, tone_steps, both_steps, residual_steps: gradient steps of each fit; of the residual
            network, of each round.
        warming_steps: steps of constant size in front of `both_steps`.
        racers: closed-form starts of a deconvolution that race; 0 for no deconvolution.
        race_images, race_passes: on how many images they race, and how many passes over them each leg takes.
        beyond: a family whose closest start has that many times the loss of the best so far is not fitted.
        hopeless: a start whose loss is that many times the closest's is not tried, and a deconvolution not fitted whose
            race ends at that many times the loss of the best so far.
        rounds, passes: the most rounds in which a deconvolution is fitted to all images at once, the first before
            families are compared, the others where it alone is the best; and how many passes over them one takes.
        residual_rounds: the most rounds of the residual network.
        patience: how many rounds in a row may be worth nothing.
        warp_rate, filter_rate, tone_rate, residual_rate: Adam's step size for the numbers of each stage.
        deconvolution_rate: the same where a residual network goes on with it.
        settled_share: of that step size, for stages that were fitted before and go on with the residual network.
        closed_form, pattern: see `trainer.starts.deconvolutions`.
        scale_free: whether each channel's moments are compared in units of the source's; else as in the paper.
        criterion_weight: of the cross-entropy with the images' labels, in studies that have them.
        errors: standard errors by which a larger family must be better.
        resamples: bootstrap samples behind a standard error.
        enough: times the loss of an average clean batch at which fitting stops.
    """

    batch: int = 96
    probe: int = 64
    warp_steps: int = 25
    filter_steps: int = 25
    tone_steps: int = 25
    warming_steps: int = 15
    both_steps: int = 45
    racers: int = 4
    race_images: int = 128
    race_passes: int = 12
    rounds: int = 5
    passes: int = 20
    beyond: float = 10.0
    hopeless: float = 3.0
    residual_steps: int = 60
    residual_rounds: int = 4
    patience: int = 1
    warp_rate: float = 0.02
    filter_rate: float = 0.015
    tone_rate: float = 0.02
    deconvolution_rate: float = 0.006
    residual_rate: float = 0.005
    settled_share: float = 0.25
    closed_form: bool = True
    pattern: bool = True
    scale_free: bool = True
    criterion_weight: float = 0.0
    errors: float = 2.0
    resamples: int = 100
    enough: float = 1.0


PRESETS: Mapping[str, Config | Cascade | Paper] = {"default": Config(), JOB_PRESET: Cascade(), "paper": Paper()}


def fit(task: Task, config: Config | Cascade | Paper) -> Corrector:
    """The smallest corrector that brings the select part's reserved taps as close to the source as any, or the paper's.

    Raises:
        NoSource, ValueError: see `fit_paper`.
    """
    if isinstance(config, Paper):
        return fit_paper(task, config)
    if isinstance(config, Cascade):
        return fit_cascade(task, config)
    # Stages draw their first weights from torch's own generator: seeded here, and left as it was found.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        return _search(task, config)


def _search(task: Task, config: Config) -> Corrector:
    descent = Descent(
        task,
        batch=config.batch,
        steps=_most_steps(config, len(task.fit)),
        scale_free=config.scale_free,
        criterion_weight=config.criterion_weight,
    )
    search = _Search(
        config, descent, Choice(task, errors=config.errors, resamples=config.resamples, enough=config.enough)
    )
    if not search.choice.looks_clean:
        _fit_families(search)
        if not search.choice.is_done:
            _complete(search)
    task.report(Progress(share=1.0, step="fitted"))
    return search.choice.best


@dataclass(frozen=True)
class _Search:
    """What the fits share, and what each family has found."""

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

    def take(self, name: str, corrector: Corrector) -> None:
        """Keep it as the family's, and as the best if it is better by more than chance."""
        self.found[name] = corrector
        self.choice.consider(corrector)


def _fit_families(search: _Search) -> None:
    """Every family of one stage, the one with the most promising start first, then warp and filter together."""
    config = search.config
    starts = {name: _starts(search, name) for name in (Warp.name, Filter.name, Tone.name, Deconvolution.name)}
    for name in sorted((name for name in starts if starts[name]), key=lambda name: starts[name][0].loss):
        (best,) = search.descent.ranked([search.choice.best], config.probe)
        if starts[name][0].loss <= config.beyond * best.loss:
            fitted = _fit_single(search, name, starts[name], best.loss)
            if fitted is not None:
                search.take(name, fitted)
        if search.choice.is_done:
            return
    if Warp.name in search.found and Filter.name in search.found:
        search.take("warp+filter", search.choice.closest(_fit_both(search)))


def _starts(search: _Search, name: str) -> list[Ranked]:
    """Where a family could begin, the closest first; none beyond `hopeless` times the closest's loss."""
    task, config = search.descent.task, search.config
    stages: Mapping[str, Callable[[], Sequence[Stage]]] = {
        Warp.name: lambda: stretched_warps(task),
        Filter.name: lambda: matching_filters(task),
        Tone.name: lambda: matching_tones(task),
        Deconvolution.name: lambda: deconvolutions(task, closed_form=config.closed_form, pattern=config.pattern),
    }
    if name == Deconvolution.name and not config.racers:
        return []
    ranked = search.descent.ranked([Corrector([stage]) for stage in stages[name]()], config.probe)
    return [entry for entry in ranked if entry.loss <= config.hopeless * ranked[0].loss]


def _fit_single(search: _Search, name: str, starts: list[Ranked], best: float) -> Corrector | None:
    """The family's closest start, fitted; None if a race leaves it hopelessly behind `best`, the loss of the best."""
    descent, config = search.descent, search.config
    if name == Deconvolution.name:
        return _fit_deconvolution(search, [entry.corrector for entry in starts[: config.racers]], best)
    steps = {Warp.name: config.warp_steps, Filter.name: config.filter_steps, Tone.name: config.tone_steps}
    return descent.run(starts[0].corrector, steps[name], search.rates, name)


def _fit_deconvolution(search: _Search, racers: Sequence[Corrector], best: float) -> Corrector | None:
    """The first of a race of all starts: pixels leave the phase open, and only a few steps show which leads far."""
    config = search.config
    first = race(search.descent, racers, Deconvolution.name, images=config.race_images, passes=config.race_passes)
    (probed,) = search.descent.ranked([first], config.probe)
    if probed.loss > config.hopeless * best:
        return None
    return Refinement(search.descent, first, Deconvolution.name).advance(config.passes)


def _fit_both(search: _Search) -> list[Corrector]:
    """Whether geometry or filter explains more shows only when either is completed by the other: both are tried."""
    frame, config, label = search.descent.task.frame, search.config, "warp+filter"
    (warp,), (filter_,) = (deepcopy(search.found[name].stages) for name in (Warp.name, Filter.name))
    racers = [Corrector([warp, Filter(frame)]), Corrector([Warp(frame), filter_])]
    for racer in racers:
        search.descent.run(racer, config.warming_steps, search.rates, label, decay=False)
        search.descent.run(racer, config.both_steps, search.rates, label)
    return racers


def _complete(search: _Search) -> None:
    """Go on in rounds: with a deconvolution that is the best, then with a residual network behind the closest."""
    choice = search.choice
    if choice.best.names() == (Deconvolution.name,):
        _refine(search)
        search.found[Deconvolution.name] = choice.best
    if not choice.is_done:
        closest = choice.closest([choice.best, *search.found.values()])
        _fit_residual(search, Corrector([*closest.stages, Residual(search.descent.task.frame)]))


def _refine(search: _Search) -> None:
    """The best, fitted on to all images at once until the choice is done or a round is worth nothing."""
    config, choice = search.config, search.choice
    refinement = Refinement(search.descent, choice.best, Deconvolution.name)
    for _ in range(config.rounds - 1):
        if not choice.go_on(refinement.advance(config.passes)) or choice.is_done:
            break


def _fit_residual(search: _Search, corrector: Corrector) -> None:
    """Its rounds, until the choice is done or so many in a row were worth nothing."""
    config, choice = search.config, search.choice
    rates = {name: rate * config.settled_share for name, rate in search.rates.items()}
    rates[Residual.name] = config.residual_rate
    in_vain = 0
    for _ in range(config.residual_rounds):
        corrector = search.descent.run(deepcopy(corrector), config.residual_steps, rates, Residual.name)
        in_vain = 0 if choice.consider(corrector) else in_vain + 1
        if choice.is_done or in_vain == config.patience:
            break


def _most_steps(config: Config, images: int) -> int:
    both = config.warp_steps + config.filter_steps + config.tone_steps + 2 * (config.warming_steps + config.both_steps)
    # Each leg of the race has half as many runners as the one before.
    racing = 2 * config.racers * config.race_passes * min(images, config.race_images)
    refining = config.rounds * config.passes * images
    return both + (racing + refining) // config.batch + config.residual_rounds * config.residual_steps
