"""The homogenizer in seconds: the preset `cascade`, which a job gets. What costs little comes first.

1. Closed forms on pixels, and small families by least squares with onnxruntime alone: `trainer.forward`.
2. A tone curve, and a deconvolution, where their closed forms already come near what was found; by gradient steps.
3. A residual network behind the closest, in a few short rounds.

A candidate is taken if its loss on reserved taps, on the select part, is lower than the best's by more than chance. It
ends where that loss, on all images, is near that of clean source batches of this size.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace

import torch

from service.contract.job import Progress
from trainer.choice import Choice
from trainer.corrector import Corrector
from trainer.descent import Descent, Ranked
from trainer.forward import Config as Search
from trainer.forward import Found, search, stages
from trainer.race import race
from trainer.refinement import Refinement
from trainer.stages import Stage
from trainer.stages.deconvolution import Deconvolution
from trainer.stages.residual import Residual
from trainer.stages.tone import Tone
from trainer.starts import deconvolutions, matching_tones
from trainer.task import Task

FORWARD_SHARE = 0.4
"""Of the progress that is told, what the forward search has; about the share of the time that it takes."""


@dataclass(frozen=True)
class Cascade:
    """Every choice.

    Attributes:
        looks: at all fitted images, the most that the forward search may take.
        looked_at: fitted images that it takes, if there are more.
        slopes, kept, worth: see `trainer.forward.Config`.
        batch: images in one gradient step.
        probe: images on which starting points are compared.
        beyond: a tone curve or deconvolution whose closest start has that many times the loss of the best so far is
            not fitted.
        racers, race_images, race_passes: starts of a deconvolution that race, on how many images, and passes a leg.
        passes, rounds: over all images, in one round of the deconvolution; and the most rounds.
        tone_steps, residual_steps: gradient steps of each fit; of the residual network, of each round.
        residual_rounds: the most rounds of the residual network.
        far: times the loss of an average clean batch from which a residual network is fitted.
        tone_rate, residual_rate: Adam's step sizes.
        settled_rate: the same, for what the residual network goes on with.
        errors: standard errors by which a candidate must be better.
        resamples: bootstrap samples behind a standard error.
        clearly: see `trainer.choice.Choice`.
        enough: times the loss of an average clean batch at which fitting stops.
    """

    looks: int = 60
    looked_at: int = 320
    slopes: int = 96
    kept: float = 0.05
    worth: float = 0.02
    batch: int = 96
    probe: int = 48
    beyond: float = 2.0
    racers: int = 4
    race_images: int = 64
    race_passes: int = 6
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
            run.found.append(run.choice.best)
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
    """What the stages share, and what they have found."""

    task: Task
    config: Cascade
    descent: Descent
    choice: Choice
    found: list[Corrector] = field(default_factory=list)

    def consider(self, corrector: Corrector) -> bool:
        """Note a candidate, and take it if it is better by more than chance; whether it was."""
        self.found.append(corrector)
        return self.choice.consider(corrector)


def _run_down(run: _Run) -> None:
    for stage in (_forward, _curves_and_kernels, _residual):
        stage(run)
        if run.choice.is_done:
            return


def _forward(run: _Run) -> None:
    """Every corrector of the forward search that was its best for a time: fewer numbers may do as well."""
    graph, task = run.task.tap_graph, run.task
    if graph is None:
        return
    config = run.config
    planes = task.fit[: config.looked_at].numpy()
    choices = Search(probe=config.probe, slopes=config.slopes, kept=config.kept, worth=config.worth)
    budget = config.looks * len(planes)

    def told(found: Found, share: float) -> None:
        task.report(Progress(share=FORWARD_SHARE * share, step=f"fit {found.name}", loss=found.loss))

    outcome = search(graph, task.fingerprint, planes, task.frame, budget=budget, config=choices, told=told)
    lowest = outcome.found[0].loss
    for found in outcome.found[1:]:
        if found.loss < lowest:
            lowest = found.loss
            run.consider(Corrector(stages(found.parts)))


def _curves_and_kernels(run: _Run) -> None:
    """A tone curve and a deconvolution, the one with the closer start first."""
    config = run.config
    starts = [run.descent.ranked(group, config.probe) for group in _starts(run.task)]
    for ranked in sorted(starts, key=lambda group: group[0].loss):
        (best,) = run.descent.ranked([run.choice.best], config.probe)
        if ranked[0].loss > config.beyond * best.loss:
            return
        fit = _fit_tone if ranked[0].corrector.names() == (Tone.name,) else _fit_deconvolution
        fit(run, ranked)
        if run.choice.is_done:
            return


def _starts(task: Task) -> Iterator[list[Corrector]]:
    groups: tuple[list[Stage], ...] = ([*matching_tones(task)[1:]], [*deconvolutions(task)])
    for group in groups:
        if group:
            yield [Corrector([stage]) for stage in group]


def _fit_tone(run: _Run, starts: list[Ranked]) -> None:
    config = run.config
    run.consider(run.descent.run(starts[0].corrector, config.tone_steps, {Tone.name: config.tone_rate}, Tone.name))


def _fit_deconvolution(run: _Run, starts: list[Ranked]) -> None:
    """The first of a race, in rounds for as long as one is worth taking."""
    config, name = run.config, Deconvolution.name
    racers = [entry.corrector for entry in starts[: config.racers]]
    first = race(run.descent, racers, name, images=config.race_images, passes=config.race_passes)
    refinement = Refinement(run.descent, first, name)
    if not run.consider(refinement.advance(config.passes)):
        return
    for _ in range(config.rounds - 1):
        if run.choice.is_done or not run.choice.go_on(refinement.advance(config.passes)):
            return


def _residual(run: _Run) -> None:
    """Behind the closest of all, where much is left to win, until a round is worth nothing."""
    config = run.config
    if not run.choice.is_beyond(config.far):
        return
    closest = run.choice.closest([run.choice.best, *run.found])
    corrector = Corrector([*deepcopy(closest.stages), Residual(run.task.frame)])
    rates = {stage.name: config.settled_rate for stage in corrector.stages} | {Residual.name: config.residual_rate}
    for _ in range(config.residual_rounds):
        corrector = run.descent.run(deepcopy(corrector), config.residual_steps, rates, Residual.name)
        if not run.consider(corrector) or run.choice.is_done:
            return


def _most_steps(config: Cascade, images: int) -> int:
    """Gradient steps of `batch` images that a fit takes at most."""
    # Each leg of the race has half as many runners as the one before.
    racing = 2 * config.racers * config.race_passes * min(images, config.race_images)
    refining = config.rounds * config.passes * images
    return config.tone_steps + (racing + refining) // config.batch + config.residual_rounds * config.residual_steps
