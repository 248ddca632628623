"""Choosing among correctors by the reserved taps: on the select part, and on all images whether to go on or to stop."""

from collections.abc import Sequence
from math import inf, isfinite

import numpy as np
import torch

from service.contract.distances import statistics_loss
from service.contract.statistics import TapMoments, pool, take
from trainer.corrector import Corrector
from trainer.gate.outcome import nuclear_norm
from trainer.gate.scores import probabilities
from trainer.measure import class_scores, tap_moments
from trainer.task import Task

WORTH = 0.1
"""Share of the loss that another round of the same steps must have taken off."""


class Choice:
    """The best corrector so far; the identity at first.

    Attributes:
        best: it.
    """

    def __init__(self, task: Task, *, errors: float, resamples: int, enough: float = 1.0, clearly: float = 0.0) -> None:
        """Start from the identity.

        Args:
            errors: standard errors by which a candidate must be better.
            resamples: bootstrap samples behind a standard error.
            enough: how many times the loss of an average clean batch of that size is close enough to stop.
            clearly: a candidate that brings the loss of all images to this share of the best's need not be closer on
                the select part by more than chance, if it is closer there at all.
        """
        self._task = task
        self._errors, self._resamples, self._clearly = errors, resamples, clearly
        self._source = {name: task.fingerprint.moments()[name] for name in task.reserved_taps}
        self._seen = torch.cat([task.fit, task.select])
        reference = task.fingerprint.reference
        self._high = reference.at(len(task.select), reserved=True)[1] if reference else 0.0
        self._clean = reference.at(len(self._seen), reserved=True)[0] if reference else 0.0
        self._enough = enough * self._clean
        self.best = Corrector()
        self._moments = self._measure(self.best)
        self._loss_of_all: float | None = None
        self._considered: list[tuple[Corrector, float]] = []
        self._note(self.best, self._moments)

    @property
    def looks_clean(self) -> bool:
        """Whether the best is as close to the source as 95 % of clean batches of this size are."""
        return self._loss(self._moments) <= self._high

    @property
    def is_done(self) -> bool:
        """Whether all images, the fitted ones too, are about as close to the source as an average clean batch is.

        The select part alone would say so early: of few images an average clean batch lies far off.
        """
        return self._enough > 0 and self._best_of_all() <= self._enough

    def is_beyond(self, times: float) -> bool:
        """Whether the loss of all images is more than so many times that of an average clean batch; if unknown, yes."""
        return self._best_of_all() > times * self._clean

    def distance(self, corrector: Corrector) -> float:
        """The loss of all images behind a corrector, infinite where it is no number."""
        loss = self._loss(self._measure(corrector, self._seen))
        return loss if isfinite(loss) else inf

    def closest(self, candidates: Sequence[Corrector]) -> Corrector:
        """The candidate with the lowest loss, one that is no number counting as infinite; the first of equals."""
        losses = [self._loss(self._measure(candidate)) for candidate in candidates]
        return candidates[int(np.argmin([loss if isfinite(loss) else inf for loss in losses]))]

    def consider(self, candidate: Corrector) -> bool:
        """Take the candidate if it is better by more than chance, or clearly better; whether it was taken."""
        moments = self._measure(candidate)
        self._note(candidate, moments)
        gain = self._loss(self._moments) - self._loss(moments)
        is_better = gain > self._errors * self._standard_error(self._moments, moments)
        # The select part may be too small to tell what all images show.
        if is_better or (gain > 0 and self._is_clearly_better(candidate)):
            self._take(candidate, moments)
            return True
        return False

    def go_on(self, further: Corrector) -> bool:
        """Take the best as it is after more steps if that is closer; whether more are worth trying, WORTH closer.

        Closer on all images, the fitted ones too, for few cannot tell how far a fit has converged; but not where the
        select part is further by more than chance. For the same stages alone: larger ones would fit the sample.
        """
        after, before = self._measure(further, self._seen), self._best_of_all()
        lost = before - self._loss(after)
        moments = take(after, np.arange(len(self._task.fit), len(self._seen)))
        worse = self._loss(moments) - self._loss(self._moments)
        if not lost > 0 or worse > max(self._errors, 0.0) * self._standard_error(self._moments, moments):
            return False
        self._take(further, moments)
        self._note(further, moments)
        self._loss_of_all = self._loss(after)
        return lost > WORTH * before

    def settle(self, *, near: float, surer: float) -> None:
        """Take the surest of all that were considered and are about as close as the best; the best if none is surer.

        Statistics can be met by correctors that tell classes apart no better: a tone curve that makes noise as rare as
        in the source. Class probabilities show it, in their nuclear norm: how sure each is, and how different all are.

        Args:
            near: times the lowest loss on the select part up to which one is about as close.
            surer: by how much a nuclear norm must be above that of the best.
        """
        lowest = min((loss for _, loss in self._considered), default=0.0)
        sureness = self._sureness(self.best) + surer
        surest = self.best
        for candidate, loss in self._considered:
            if candidate is not self.best and loss <= near * lowest and (own := self._sureness(candidate)) > sureness:
                surest, sureness = candidate, own
        if surest is not self.best:
            self._take(surest, self._measure(surest))

    def _sureness(self, corrector: Corrector) -> float:
        """Nuclear norm of the class probabilities of all images, 0 to 1; -1 where they are no numbers."""
        scores = class_scores(self._task.frozen, corrector, self._seen)
        return nuclear_norm(probabilities(scores, self._task.scores)) if np.isfinite(scores).all() else -1.0

    def _is_clearly_better(self, candidate: Corrector) -> bool:
        if not self._clearly:
            return False
        distance = self.distance(candidate)
        return isfinite(distance) and distance <= self._clearly * self._best_of_all()

    def _note(self, corrector: Corrector, moments: TapMoments) -> None:
        """What `settle` may come back to: all but those whose loss is no number."""
        if isfinite(loss := self._loss(moments)):
            self._considered.append((corrector, loss))

    def _take(self, corrector: Corrector, moments: TapMoments) -> None:
        self.best, self._moments, self._loss_of_all = corrector, moments, None

    def _best_of_all(self) -> float:
        """The loss of all images behind the best, measured once."""
        if self._loss_of_all is None:
            self._loss_of_all = self.distance(self.best)
        return self._loss_of_all

    def _measure(self, corrector: Corrector, images: torch.Tensor | None = None) -> TapMoments:
        images = self._task.select if images is None else images
        return tap_moments(self._task.frozen, corrector, images, self._task.reserved_taps)

    def _loss(self, moments: TapMoments) -> float:
        return statistics_loss(pool(moments), self._source, self._task.reserved_taps)

    def _standard_error(self, before: TapMoments, after: TapMoments) -> float:
        """Of the difference of both losses, over paired bootstrap samples of the images."""
        count = len(self._task.select)
        draw = np.random.default_rng(self._task.seed)
        samples = [draw.integers(0, count, count) for _ in range(self._resamples)]
        return float(np.std([self._loss(take(after, rows)) - self._loss(take(before, rows)) for rows in samples]))
