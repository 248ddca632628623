"""The homogenizer in seconds: the preset `cascade`, which a job gets. What costs little comes first.

1. Closed forms on pixels, and small families by least squares with onnxruntime alone: `trainer.forward`.
2. A tone curve, and a deconvolution, where their closed forms already come near what was found; by gradient steps.
3. A residual network behind the best, in a few short rounds.

A candidate is taken if its loss on reserved taps, on the select part, is lower than the best's by more than chance. It
ends where that loss, on all images, is near that of clean source batches of this size; where it is not, after each of
the three, the surest answers choose among those that are about as close.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from math import inf

import torch

from service.contract.job import Progress
from trainer.choice import Choice
from trainer.corrector import Corrector
from trainer.descent import Descent, Ranked
from trainer.forward import Config as Search
from trainer.forward import Found, search, stages
from trainer.race import race
from trainer.refinement import Refinement
from trainer.stages.deconvolution import Deconvolution
from trainer.stages.residual import Residual
from trainer.stages.tone import Tone
from trainer.stages.warp import Warp
from trainer.starts import deconvolutions, matching_tones
from trainer.task import Task

FORWARD_SHARE = 0.4
"""Of the progress that is told, what the forward search has; about the share of the time that it takes."""


SMALL = 1024
"""Values of an image; of larger ones the forward search sees fewer, for the frozen model takes longer over each."""


@dataclass(frozen=True)
class Cascade:
    """Every choice.

    Attributes:
        looks: at all fitted images, the most that the forward search may take.
        looked_at: fitted images that it takes, if there are more.
        slopes, kept, worth: see `trainer.forward.Config`.
        thrift: share of `looks`, `looked_at`, `slopes` and `probe` that the search has for images of more than SMALL
            values.
        batch: images in one gradient step.
        probe: images on which the closest starting points are compared.
        first_probe, share: images on which many are compared before, and the share of them that is left then.
        beyond: a tone curve or deconvolution whose closest start has that many times the loss of the best so far is
            not fitted.
        racers, race_images, race_passes: starts of a deconvolution that race, on how many images, and passes a leg.
        bent: share of the distance of a deconvolution alone to which one behind a warp must come.
        passes, rounds: over all images, in one round of the deconvolution; and the most rounds.
        tone_steps, residual_steps: gradient steps of each fit; of the residual network, of each round.
        residual_rounds: the most rounds of the residual network.
        far: times the loss of an average clean batch from which a residual network is fitted.
        tone_rate, residual_rate: Adam's step sizes.
        settled_rate: the same, for what the residual network goes on with.
        errors: standard errors by which a candidate must be better.
        resamples: bootstrap samples behind a standard error.
        clearly: see `trainer.choice.Choice`. near, surer: see its `settle`.
        enough: times the loss of an average clean batch at which fitting stops.
    """

    looks: int = 60
    looked_at: int = 320
    slopes: int = 96
    thrift: float = 0.5
    kept: float = 0.05
    worth: float = 0.02
    batch: int = 96
    probe: int = 48
    first_probe: int = 16
    share: float = 0.125
    beyond: float = 2.0
    racers: int = 4
    race_images: int = 64
    race_passes: int = 6
    bent: float = 0.85
    passes: int = 8
    rounds: int = 2
    tone_steps: int = 25
    residual_steps: int = 40
    residual_rounds: int = 2
    far: float = 25.0
    tone_rate: float = 0.02
    residual_rate: float = 0.005
    settled_rate: float = 0.002
    errors: float = 2.0
    resamples: int = 100
    clearly: float = 0.6
    near: float = 8.0
    surer: float = 0.002
    enough: float = 3.0


def fit_cascade(task: Task, config: Cascade) -> Corrector:
    """The smallest corrector that brings the select part's reserved taps as close to the source as any it tries."""
    # Stages draw their first weights from torch's own generator: seeded here, and left as it was found.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        run = _Run(
            task,
            config,
            Descent(_late(task), batch=config.batch, steps=_most_steps(config, len(task.fit))),
            _choice(task, config),
        )
        if not run.choice.looks_clean:
            _run_down(run)
    task.report(Progress(share=1.0, step="fitted"))
    return run.choice.best


def _late(task: Task) -> Task:
    """The task as the gradient steps tell of it: behind the forward search."""

    def report(progress: Progress) -> None:
        share = FORWARD_SHARE + (1.0 - FORWARD_SHARE) * progress.share
        task.report(progress.model_copy(update={"share": share}))

    return replace(task, report=report)


def _choice(task: Task, config: Cascade) -> Choice:
    return Choice(task, errors=config.errors, resamples=config.resamples, enough=config.enough, clearly=config.clearly)


@dataclass(frozen=True)
class _Run:
    """What the stages share."""

    task: Task
    config: Cascade
    descent: Descent
    choice: Choice


Groups = list[list[Ranked]]
"""Starts of one kind, the closest first, in groups that are raced apart."""

Fit = Callable[[_Run, Groups], None]


def _run_down(run: _Run) -> None:
    for stage in (_forward, _curves_and_kernels, _residual):
        stage(run)
        if run.choice.is_done:
            return
        run.choice.settle(near=run.config.near, surer=run.config.surer)


def _forward(run: _Run) -> None:
    """Every corrector of the forward search that was its best for a time: fewer numbers may do as well."""
    graph, task = run.task.tap_graph, run.task
    if graph is None:
        return
    config = run.config
    share = config.thrift if task.fit[0].numel() > SMALL else 1.0
    planes = task.fit[: round(share * config.looked_at)].numpy()
    choices = Search(
        probe=round(share * config.probe), slopes=round(share * config.slopes), kept=config.kept, worth=config.worth
    )
    budget = round(share * config.looks) * len(planes)

    def told(found: Found, share: float) -> None:
        task.report(Progress(share=FORWARD_SHARE * share, step=f"fit {found.name}", loss=found.loss))

    outcome = search(graph, task.fingerprint, planes, task.frame, budget=budget, config=choices, told=told)
    lowest = outcome.found[0].loss
    for found in outcome.found[1:]:
        if found.loss < lowest:
            lowest = found.loss
            run.choice.consider(Corrector(stages(found.parts)))


def _curves_and_kernels(run: _Run) -> None:
    """A tone curve and a deconvolution, the one with the closer start first."""
    config = run.config
    if not config.beyond:
        return
    families: list[tuple[Fit, Groups]] = [
        (fit, [_ranked(run, group) for group in groups if group])
        for fit, groups in ((_fit_tone, [_tones(run)]), (_fit_deconvolution, _deconvolutions(run)))
    ]
    for fit, groups in sorted(families, key=lambda family: _closest(family[1])):
        (best,) = run.descent.ranked([run.choice.best], config.probe)
        if not groups or _closest(groups) > config.beyond * best.loss:
            return
        fit(run, groups)
        if run.choice.is_done:
            return


def _closest(groups: Groups) -> float:
    return min((group[0].loss for group in groups), default=inf)


def _ranked(run: _Run, starts: list[Corrector]) -> list[Ranked]:
    """The closest starts; of many, those that are so on fewer images already."""
    config = run.config
    kept = max(config.racers, round(config.share * len(starts)))
    if kept < len(starts):
        starts = [entry.corrector for entry in run.descent.ranked(starts, config.first_probe)[:kept]]
    return run.descent.ranked(starts, config.probe)


def _tones(run: _Run) -> list[Corrector]:
    return [Corrector([stage]) for stage in matching_tones(run.task)[1:]]


def _deconvolutions(run: _Run) -> list[list[Corrector]]:
    """Alone, and behind the warp that was found: spectra do not tell of a turned image."""
    warps = [stage for stage in run.choice.best.stages if stage.name == Warp.name]
    groups = [[Corrector([stage]) for stage in deconvolutions(run.task)]]
    if warps:
        with torch.no_grad():
            straightened = Corrector(warps)(run.task.fit)
        behind = deconvolutions(replace(run.task, fit=straightened))
        groups.append([Corrector([*deepcopy(warps), stage]) for stage in behind])
    return groups


def _fit_tone(run: _Run, groups: Groups) -> None:
    (starts,), config = groups, run.config
    run.choice.consider(
        run.descent.run(starts[0].corrector, config.tone_steps, {Tone.name: config.tone_rate}, Tone.name)
    )


def _fit_deconvolution(run: _Run, groups: Groups) -> None:
    """The first of a race, in rounds for as long as one is worth taking."""
    config, name = run.config, Deconvolution.name
    refinement = Refinement(run.descent, _first(run, groups), name)
    if not run.choice.consider(refinement.advance(config.passes)):
        return
    for _ in range(config.rounds - 1):
        if run.choice.is_done or not run.choice.go_on(refinement.advance(config.passes)):
            return


def _first(run: _Run, groups: Groups) -> Corrector:
    """Of each group's race the first, and of these the one alone unless the one behind a warp is closer by far.

    A warp that is not there blurs, which noise calls for too: it may come closer and answer worse.
    """
    config, name = run.config, Deconvolution.name
    each = max(1, config.racers // len(groups))
    alone, *behind = (
        race(
            run.descent,
            [entry.corrector for entry in group[:each]],
            name,
            images=config.race_images,
            passes=config.race_passes,
        )
        for group in groups
    )
    if behind and run.choice.distance(behind[0]) <= config.bent * run.choice.distance(alone):
        return behind[0]
    return alone


def _residual(run: _Run) -> None:
    """Behind the best, where much is left to win, until a round is worth nothing."""
    config = run.config
    if not run.choice.is_beyond(config.far):
        return
    corrector = Corrector([*deepcopy(run.choice.best.stages), Residual(run.task.frame)])
    rates = {stage.name: config.settled_rate for stage in corrector.stages} | {Residual.name: config.residual_rate}
    for _ in range(config.residual_rounds):
        corrector = run.descent.run(deepcopy(corrector), config.residual_steps, rates, Residual.name)
        if not run.choice.consider(corrector) or run.choice.is_done:
            return


def _most_steps(config: Cascade, images: int) -> int:
    """Gradient steps of `batch` images that a fit takes at most."""
    # Each leg of the race has half as many runners as the one before.
    racing = 2 * config.racers * config.race_passes * min(images, config.race_images)
    refining = config.rounds * config.passes * images
    return config.tone_steps + (racing + refining) // config.batch + config.residual_rounds * config.residual_steps
