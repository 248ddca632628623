"""The fit of the calibrator paper, as its authors' code does it: the preset `paper` of the method `calibrator`.

For comparison only. Where paper and code disagree, the code's choices are the defaults here, but for the places of the
patches (see `discriminators`). The code leaves the classifier in training mode while the calibrator is fitted, and
measures with the statistics that it took over; `follow` says whether a copy of the classifier does so here. The copy is
thrown away by `fit_paper`: what is exported stands in front of the frozen model as it is.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from service.contract.job import Progress
from trainer.adversarial.discriminators import PixelDiscriminator, feature_discriminator
from trainer.adversarial.game import Game, Seen
from trainer.baselines.thawed import thaw
from trainer.corrector import Corrector
from trainer.minibatch import drawn, rows_a_step
from trainer.reading import Reading
from trainer.stages.translator import BLOCKS, BOUND, WIDTH, Translator
from trainer.task import Task, source_images

HIDDEN = (1000, 500)
"""Of the feature discriminator."""
PIXELS_HIDDEN = 128


@dataclass(frozen=True)
class Paper:
    """Every choice of the authors' code for MNIST to USPS.

    Attributes:
        width, blocks, bound: of the generator; the bound as a share of the input's span, 0.4 of values from -1 to 1.
        signed: whether it may darken, too.
        patch: side of the pixel discriminator's patches.
        source_weight: of corrected source images in the generator's loss, where those of the target have 1.
        follow: whether the classifier's normalisations follow the batches while the generator is fitted.
        rate, decay: step size and weight decay of Adam, for generator and discriminators; neither ever changes.
        epochs, batch: passes over the smaller of both sets, and images of each of them in a step.
    """

    width: int = WIDTH
    blocks: int = BLOCKS
    bound: float = BOUND
    signed: bool = False
    patch: int = 4
    source_weight: float = 0.1
    follow: bool = True
    rate: float = 1e-4
    decay: float = 5e-4
    epochs: int = 200
    batch: int = 128


@dataclass(frozen=True)
class Played:
    """What a game leaves: the corrector, and the classifier that it was played with."""

    corrector: Corrector
    classifier: Reading


def fit_paper(task: Task, config: Paper) -> Corrector:
    """The paper's generator. Raises NoSource."""
    return play(task, config).corrector


def play(task: Task, config: Paper) -> Played:
    """The paper's generator and the classifier, whose statistics have moved where `follow` let them.

    Raises:
        NoSource: the task has no source images.
    """
    source = source_images(task)
    # Stages draw their first weights from torch's own generator: seeded here, and left as it was found.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        stage = Translator(
            task.frame, width=config.width, blocks=config.blocks, bound=config.bound, signed=config.signed
        )
        game = _game(task, config)
        classifier, pace = thaw(task.frozen)
        pace.following = config.follow
        _descend(task, config, stage, game, classifier, source)
        pace.following = False
    task.report(Progress(share=1.0, step="fitted"))
    return Played(Corrector([stage.eval()]), classifier)


def _game(task: Task, config: Paper) -> Game:
    with torch.no_grad():
        classes = task.frozen.scores_and_taps(task.fit[:1])[0].shape[1]
    channels, *sides = task.frame.shape
    return Game(
        feature_discriminator(classes, HIDDEN),
        PixelDiscriminator(channels, min(config.patch, *sides), PIXELS_HIDDEN),
        rate=config.rate,
        decay=config.decay,
        draw=torch.Generator().manual_seed(task.seed),
    )


def _descend(task: Task, config: Paper, stage: Translator, game: Game, classifier: Reading, source: Tensor) -> None:
    optimiser = torch.optim.Adam(stage.train().parameters(), lr=config.rate, weight_decay=config.decay)
    draw = torch.Generator().manual_seed(task.seed)
    batch = min(rows_a_step(config.batch, task.fit), len(source), len(task.fit))
    steps = config.epochs * (min(len(source), len(task.fit)) // batch)

    def seen(images: Tensor) -> Seen:
        scores = classifier.scores_and_taps(images)[0]
        logits = task.scores == "logits"
        return Seen(functional.softmax(scores, dim=1) if logits else scores, images)

    for step in range(steps):
        ours, theirs = (drawn(images, batch, draw) for images in (source, task.fit))
        corrected_target, corrected_source = seen(stage(theirs)), seen(stage(ours))
        with torch.no_grad():
            plain = seen(ours), seen(theirs)
        game.learn((*plain, corrected_target, corrected_source))
        lost = [torch.stack(game.fooling(group)).sum() for group in (corrected_target, corrected_source)]
        loss = lost[0] + config.source_weight * lost[1]
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
        if step % 20 == 0:
            task.report(Progress(share=step / steps, step=f"step {step} of {steps}", loss=float(loss.detach())))
