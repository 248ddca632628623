"""Calibrator: win the target and keep the source, with source images at hand and no label of the target.

After Ye et al., "Light-weight calibrator: a separable component for unsupervised domain adaptation" (2020), but in
front of a model that is frozen in truth, and beyond it:

1. If the uncorrected batch looks like clean source batches on the reserved taps, there is nothing to fit.
2. Geometry, tone and filter come first, as the homogenizer fits them in a job (`trainer.cascade`): they are a few
   numbers, and what they can mend a network need not.
3. Behind them a bounded generator, which starts as the identity, is fitted against three losses: the statistics at the
   fitted taps; how uncertain the answers are (`trainer.losses.information`); and two discriminators that tell source,
   target, and both corrected apart (`trainer.adversarial`).
4. It is kept if, on the select part, the answers are surer and more evenly spread than without it.
5. A recogniser is fitted to tell source from target, and source images are left as they are, bit for bit.

That is the preset `default`, which a job gets, too. The preset `paper` is what the authors' code does:
`trainer.adversarial.paper`.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from math import inf

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from service.contract.job import Progress
from trainer.adversarial.discriminators import PixelDiscriminator, feature_discriminator
from trainer.adversarial.game import Game
from trainer.adversarial.paper import Paper, fit_paper
from trainer.adversarial.sight import Sight
from trainer.cascade import Cascade, fit_cascade
from trainer.choice import Choice
from trainer.corrector import Corrector
from trainer.losses.information import uncertainty
from trainer.losses.moments import MomentLoss
from trainer.measure import class_scores
from trainer.minibatch import drawn, rows_a_step
from trainer.recognition import Recognition, fit_recogniser
from trainer.stages.generator import BLOCKS, BOUND, WIDTH, Generator
from trainer.task import Report, Task, source_images

NEEDS_SOURCE = True
"""The service reads this line, and refuses a batch where no source images are kept."""
FITS_ANSWERS = True
"""Sure answers are asked for, so that the gate must not take them for evidence."""
FRONT_SHARE, GENERATOR_SHARE = 0.15, 0.75
"""Of the progress that is told; the recogniser has the rest."""
FEWEST_A_CLASS = 4
"""Images of a step for each class, below which answers are not asked to be different: few images show few classes."""


@dataclass(frozen=True)
class Config:
    """Every choice of the method.

    Attributes:
        front_images: of the batch, for the stages in front of the generator.
        width, blocks, bound: of the generator, see `trainer.stages.generator`.
        steps, batch: gradient steps of the generator, and images of either kind in one.
        plenty: of so many target images or more it takes twice as many steps; fewer would be learned by heart.
        rate, settled_rate: Adam's step sizes for the generator and for the stages in front of it; they fall along a
            cosine to 0.
        statistics_weight, sureness_weight: of the statistics loss and of the answers' uncertainty.
        feature_weight, pixel_weight: of being recognised by either discriminator; 0 for both plays no game.
        source_weight: of corrected source images among these, where those of the target have 1.
        patch: side of the pixel discriminator's patches.
        hidden: width of both discriminators.
        discriminator_rate: Adam's step size for them.
        recognise: whether source images are left as they are.
        recogniser_steps: gradient steps of the recogniser.
        errors, resamples: see `trainer.choice.Choice`.
    """

    front_images: int = 512
    width: int = WIDTH
    blocks: int = BLOCKS
    bound: float = BOUND
    steps: int = 400
    plenty: int = 2_000
    batch: int = 128
    rate: float = 2e-3
    settled_rate: float = 5e-4
    statistics_weight: float = 1.0
    sureness_weight: float = 1.0
    feature_weight: float = 0.1
    pixel_weight: float = 0.1
    source_weight: float = 0.1
    patch: int = 7
    hidden: int = 64
    discriminator_rate: float = 1e-3
    recognise: bool = True
    recogniser_steps: int = 300
    errors: float = 2.0
    resamples: int = 100


PRESETS: Mapping[str, Config | Paper] = {"default": Config(), "paper": Paper()}


def fit(task: Task, config: Config | Paper) -> Corrector:
    """A corrector that wins the target and leaves the source alone, or the paper's.

    Raises:
        NoSource: the task has no source images.
    """
    if isinstance(config, Paper):
        return fit_paper(task, config)
    source = source_images(task)
    # Stages draw their first weights from torch's own generator: seeded here, and left as it was found.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        corrector = _correct(task, source, config)
    task.report(Progress(share=1.0, step="fitted"))
    return corrector


def _correct(task: Task, source: Tensor, config: Config) -> Corrector:
    if Choice(task, errors=config.errors, resamples=config.resamples).looks_clean:
        return Corrector()
    front = _front(task, config)
    whole = Corrector([*deepcopy(front.stages), _generator(task, config)])
    _Fit(task, source, config, whole).run()
    best = whole if _uncertainty(task, whole) < _uncertainty(task, front) else front
    if not best.stages or not config.recognise:
        return best
    task.report(Progress(share=FRONT_SHARE + GENERATOR_SHARE, step="fit recognition"))
    settings = Recognition(steps=config.recogniser_steps, batch=rows_a_step(config.batch, task.fit))
    draw = torch.Generator().manual_seed(task.seed)
    return Corrector(best.stages, fit_recogniser(task.frame, source, task.fit, settings, draw))


def _front(task: Task, config: Config) -> Corrector:
    """The homogenizer's small stages, fitted to part of the batch."""
    share = config.front_images / (len(task.fit) + len(task.select))
    few = [part[: max(1, round(share * len(part)))] if share < 1 else part for part in (task.fit, task.select)]
    part = replace(task, fit=few[0], select=few[1], report=_scaled(task.report, FRONT_SHARE))
    return fit_cascade(part, Cascade(residual_rounds=0))


def _scaled(report: Report, share: float) -> Report:
    return lambda progress: report(progress.model_copy(update={"share": share * progress.share}))


def _generator(task: Task, config: Config) -> Generator:
    return Generator(task.frame, width=config.width, blocks=config.blocks, bound=config.bound)


def _uncertainty(task: Task, corrector: Corrector) -> float:
    """Of the answers to the select part; infinite where they are no numbers."""
    found = float(uncertainty(torch.from_numpy(class_scores(task.frozen, corrector, task.select)), task.scores))
    return found if found == found else inf


class _Fit:
    """The generator's fit, and with it what stands in front."""

    def __init__(self, task: Task, source: Tensor, config: Config, corrector: Corrector) -> None:
        self._task, self._source, self._config, self._corrector = task, source, config, corrector
        self._draw = torch.Generator().manual_seed(task.seed)
        self._sight = Sight(task)
        self._statistics = MomentLoss({name: task.fingerprint.moments()[name] for name in task.fitted_taps})
        plays = config.feature_weight or config.pixel_weight
        self._game = self._new_game() if plays else None

    def _new_game(self) -> Game:
        config, (channels, *sides) = self._config, self._task.frame.shape
        return Game(
            feature_discriminator(self._sight.features(self._task.fit), (config.hidden,)),
            PixelDiscriminator(channels, min(config.patch, *sides), config.hidden),
            rate=config.discriminator_rate,
            betas=(0.5, 0.99),
            draw=self._draw,
        )

    def run(self) -> None:
        """All steps."""
        config, task = self._config, self._task
        rates = [
            config.rate if stage.name == Generator.name else config.settled_rate for stage in self._corrector.stages
        ]
        groups = [
            {"params": list(stage.parameters()), "lr": rate}
            for stage, rate in zip(self._corrector.stages, rates, strict=True)
        ]
        steps = config.steps * (2 if len(task.fit) >= config.plenty else 1)
        optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99))
        schedule = CosineAnnealingLR(optimiser, steps)
        batch = rows_a_step(config.batch, task.fit)
        for step in range(steps):
            loss = self._loss(drawn(task.fit, batch, self._draw), batch)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimiser.step()
            schedule.step()
            if step % 10 == 0:
                share = FRONT_SHARE + GENERATOR_SHARE * step / steps
                task.report(Progress(share=share, step="fit generator", loss=loss.item()))

    def _loss(self, target: Tensor, batch: int) -> Tensor:
        config, task = self._config, self._task
        seen, scores, taps = self._sight.of(self._corrector(target))
        loss = config.statistics_weight * self._statistics({name: taps[name] for name in task.fitted_taps})
        if batch >= FEWEST_A_CLASS * scores.shape[1]:
            loss = loss + config.sureness_weight * uncertainty(scores, task.scores)
        if self._game is None:
            return loss
        source = drawn(self._source, batch, self._draw)
        kept = self._sight.of(self._corrector(source))[0]
        with torch.no_grad():
            plain = (self._sight.of(source)[0], self._sight.of(target)[0])
        self._game.learn((*plain, seen, kept))
        for group, weight in ((seen, 1.0), (kept, config.source_weight)):
            by_features, by_pixels = self._game.fooling(group)
            loss = loss + weight * (config.feature_weight * by_features + config.pixel_weight * by_pixels)
        return loss
