"""What the rows on the tutorial's classifier do: the tutorial's three change a copy, ours stand in front of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from service.contract.job import Progress
from trainer.baselines.classifier import Classifier, Labelled, Schedule, fit_classifier
from trainer.baselines.cyclegan import CycleGan, Translators, fit_cyclegan
from trainer.baselines.dann import Dann, fit_dann
from trainer.baselines.deep_coral import DeepCoral, fit_deep_coral
from trainer.baselines.telling import Tell
from trainer.datasets import Dataset
from trainer.methods import calibrator
from trainer.studies.calibrator.attempts import Attempt, Contender, Study, in_front, task_of
from trainer.studies.calibrator.contenders import batch_of, config_of
from trainer.studies.calibrator.domains import drawn
from trainer.studies.calibrator.models import Net, fresh_tutorial, kept_weights, labelled, net_of, predict_by
from trainer.task import Report

TUTORIAL = Schedule(epochs=3, rate=1e-3)
"""The tutorial's source classifier."""


def source_only(study: Study, seed: int, report: Report) -> Attempt:
    """The tutorial's classifier as it is."""
    answers = predict_by(_tutorial(study, seed, _telling(report, "train the classifier")))
    return Attempt(answers, answers)


C = TypeVar("C", Dann, DeepCoral)
Align = Callable[[Classifier, Labelled, torch.Tensor, C, int, Tell], Classifier]


def _aligned(fit: Align[C], config: C, words: str) -> Contender:
    """A copy of it, changed by a baseline that aligns the features of both domains."""

    def run(study: Study, seed: int, report: Report) -> Attempt:
        classifier, (source, target) = _tutorial(study, seed, _silent), _sets(study)
        scaled = replace(config, schedule=_scaled(study, config.schedule))
        return _changed(classifier, fit(classifier, source, target, scaled, seed, _telling(report, words)), target)

    return run


dann = _aligned(fit_dann, Dann(), "DANN")
coral = _aligned(fit_deep_coral, DeepCoral(), "Deep CORAL")


def cyclegan(study: Study, seed: int, report: Report) -> Attempt:
    """A copy of it, fine-tuned on source images in the target's style."""
    classifier, (_, target) = _tutorial(study, seed, _silent), _sets(study)
    return _changed(classifier, _tuned(study, seed, report), target)


def calibrated_tutorial(study: Study, seed: int, report: Report) -> Attempt:
    """Our calibrator in front of it, untouched."""
    net = _as_net(study, f"tutorial-{seed}", lambda: _tutorial(study, seed, _silent), study.source.train)
    return _in_front_of(study, net, study.source.train, seed, report)


def calibrated_stylised(study: Study, seed: int, report: Report) -> Attempt:
    """The paper's second row: our calibrator in front of the classifier fine-tuned on stylised source images.

    These stand for the source while the calibrator is fitted; the classifier is not changed any more.
    """
    styled = _stylised(study, seed, report)
    net = _as_net(study, f"stylised-{seed}", lambda: _tuned(study, seed, report), styled)
    before = predict_by(_tutorial(study, seed, _silent))
    attempt = _in_front_of(study, net, styled, seed, report)
    return replace(attempt, before=before, changed=True)


def _in_front_of(study: Study, net: Net, source: Dataset, seed: int, report: Report) -> Attempt:
    batch = batch_of(study, few=False, seed=seed)
    task = task_of(net, batch, drawn(source, study.sizes.source, seed), seed, report)
    return in_front(net, calibrator.fit(task, config_of(study)), images=len(batch.images))


def _changed(before: Classifier, after: Classifier, target: torch.Tensor) -> Attempt:
    size = sum(parameter.numel() for parameter in before.parameters())
    return Attempt(predict_by(before), predict_by(after), changed=True, model_parameters=size, images=len(target))


def _sets(study: Study) -> tuple[Labelled, torch.Tensor]:
    """Labelled source images, and target images without labels."""
    return labelled(study.source.train), torch.from_numpy(study.target.train.images)


def _scaled(study: Study, schedule: Schedule) -> Schedule:
    return replace(schedule, epochs=study.steps(schedule.epochs), mixed=study.mixed)


def _tutorial(study: Study, seed: int, tell: Tell) -> Classifier:
    """The tutorial's classifier of the source."""

    def make() -> Classifier:
        net = fresh_tutorial(seed)
        fit_classifier(net, labelled(study.source.train), _scaled(study, TUTORIAL), seed, tell)
        return net

    net = kept_weights(_weights(study, f"classifier-{seed}"), make, lambda: fresh_tutorial(seed))
    assert isinstance(net, Classifier)
    return net


def _stylised(study: Study, seed: int, report: Report) -> Dataset:
    """Source training images in the target's style, with their labels."""
    source, target = _sets(study)
    config = CycleGan()
    config = replace(config, schedule=_scaled(study, config.schedule))

    def make() -> Translators:
        return fit_cyclegan(source.images, target, config, seed, _telling(report, "CycleGAN"))

    translators = kept_weights(_weights(study, f"cyclegan-{seed}"), make, lambda: Translators(config.width))
    assert isinstance(translators, Translators)
    return Dataset(translators.stylised(source.images).numpy(), study.source.train.labels)


def _tuned(study: Study, seed: int, report: Report) -> Classifier:
    """The tutorial's classifier, fine-tuned on stylised source images."""

    def make() -> Classifier:
        net, styled = _tutorial(study, seed, _silent), labelled(_stylised(study, seed, report))
        fit_classifier(net, styled, _scaled(study, CycleGan().tuning), seed, _telling(report, "fine-tuning"))
        return net

    net = kept_weights(_weights(study, f"tuned-{seed}"), make, lambda: fresh_tutorial(seed))
    assert isinstance(net, Classifier)
    return net


def _as_net(study: Study, words: str, make: Callable[[], nn.Module], source: Dataset) -> Net:
    """A torch classifier as a registered model."""
    return net_of(study.folder / f"{study.data}-{words}", source, make)


def _weights(study: Study, words: str) -> Path:
    return study.folder / f"{study.data}-{words}.pt"


def _telling(report: Report, words: str) -> Tell:
    return lambda share: report(Progress(share=share, step=words))


def _silent(_share: float) -> None:
    """Tell nobody."""
