"""What the rows on the frozen model do: ours and the paper's leave it alone, BN adaptation changes a copy of it."""

from dataclasses import replace
from typing import Any

import torch

from trainer.adversarial.paper import Paper, play
from trainer.baselines.bn_adapt import bn_adapt
from trainer.cascade import Cascade
from trainer.datasets import Dataset
from trainer.methods import calibrator, homogenizer
from trainer.studies.calibrator.attempts import Attempt, Contender, Study, in_front, source_shown, task_of
from trainer.studies.calibrator.domains import drawn
from trainer.studies.calibrator.models import predict_by_reading
from trainer.task import Report


def uncorrected(study: Study, _seed: int, _report: Report) -> Attempt:
    """The frozen model as it is."""
    return Attempt(study.net.predict(), study.net.predict())


def oracle(study: Study, _seed: int, _report: Report) -> Attempt:
    """The same architecture trained with the target's labels."""
    return Attempt(study.net.predict(), study.oracle.predict(), changed=True)


def homogenized(*, few: bool) -> Contender:
    """The homogenizer as a job fits it: without any source image."""

    def run(study: Study, seed: int, report: Report) -> Attempt:
        batch = batch_of(study, few=few, seed=seed)
        task = task_of(study.net, batch, source_shown(study, study.net), seed, report)
        found = homogenizer.fit(replace(task, source=None), Cascade())
        return in_front(study.net, found, images=len(batch.images))

    return run


def calibrated(*, few: bool, **changed: Any) -> Contender:
    """The calibrator, with the default's choices but those in `changed`."""

    def run(study: Study, seed: int, report: Report) -> Attempt:
        batch = batch_of(study, few=few, seed=seed)
        task = task_of(study.net, batch, source_shown(study, study.net), seed, report)
        return in_front(study.net, calibrator.fit(task, config_of(study, **changed)), images=len(batch.images))

    return run


def config_of(study: Study, **changed: Any) -> calibrator.Config:
    """The default with some choices changed, at the study's effort."""
    config = replace(calibrator.Config(), **changed)
    return replace(
        config,
        front_images=study.sizes.front,
        steps=study.steps(config.steps),
        recogniser_steps=study.steps(config.recogniser_steps),
    )


def paper(*, follow: bool) -> Contender:
    """The paper's generator, as its authors' code fits it for this pair.

    Args:
        follow: fit with a classifier whose normalisations follow, and measure with what it has become, as the code
            does; else both with the frozen model.
    """

    def run(study: Study, seed: int, report: Report) -> Attempt:
        batch = batch_of(study, few=False, seed=seed)
        task = task_of(study.net, batch, source_shown(study, study.net), seed, report)
        config = replace(PAPERS[study.pair], follow=follow)
        played = play(task, replace(config, epochs=study.steps(config.epochs)))
        attempt = in_front(study.net, played.corrector, images=len(batch.images))
        if not follow:
            return attempt
        correct, answer = attempt.correct, predict_by_reading(played.classifier)
        assert correct is not None
        return replace(attempt, after=lambda images: answer(correct(images)), changed=True)

    return run


PAPERS = {
    "mnist-usps": Paper(epochs=50),
    "usps-mnist": Paper(epochs=50, width=4, bound=0.45),
    "svhn-mnist": Paper(epochs=50, blocks=8, bound=0.4, patch=8, rate=2e-4, decay=0.0, batch=512),
}
"""The authors' settings of each pair, for 50 epochs, within which the paper says that its best results came."""


def bn_adapted(*, source_images: int) -> Contender:
    """BN adaptation of a copy to a batch; the source counts as so many images."""

    def run(study: Study, seed: int, _report: Report) -> Attempt:
        batch = batch_of(study, few=True, seed=seed)
        copy = bn_adapt(study.net.reading, torch.from_numpy(batch.images), source_images=source_images)
        return Attempt(study.net.predict(), predict_by_reading(copy), changed=True, images=len(batch.images))

    return run


def batch_of(study: Study, *, few: bool, seed: int) -> Dataset:
    """Target images that a contender may use, without labels: a batch, or all."""
    return drawn(study.target.train, study.sizes.few if few else None, seed)
