"""Gradient steps on the fitted taps of the fit part."""

from collections.abc import Mapping, Sequence
from functools import partial
from math import inf, isfinite
from typing import NamedTuple

import torch
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from service.contract.job import Progress
from trainer.corrector import Corrector
from trainer.losses.moments import MomentLoss
from trainer.losses.norms import NormLoss
from trainer.task import Task
from trainer.whole import backward, pieces


class Ranked(NamedTuple):
    """A corrector and its statistics loss; infinite where it is no number."""

    corrector: Corrector
    loss: float


class Descent:
    """Fits correctors of one task.

    Attributes:
        task: what is fitted to.
    """

    def __init__(
        self, task: Task, *, batch: int, steps: int, scale_free: bool = True, criterion_weight: float = 0.0
    ) -> None:
        """Make ready.

        Args:
            batch: images in one step.
            steps: how many of `batch` images there will be at most, for the progress that is reported.
            scale_free: compare moments in units of the source's, else as the homogenization paper does.
            criterion_weight: of the cross-entropy with `task.labels`, beside the statistics loss.

        Raises:
            ValueError: a criterion without labels.
        """
        if criterion_weight and task.labels is None:
            raise ValueError("criterion_weight needs labels of the images, and the task has none")
        self.task = task
        self._batch = batch
        self._criterion_weight = criterion_weight
        source = {name: task.fingerprint.moments()[name] for name in task.fitted_taps}
        self._statistics = MomentLoss(source) if scale_free else NormLoss(source)
        self._draw = torch.Generator().manual_seed(task.seed)
        self._waiting = torch.arange(0)
        self._all, self._seen = steps * batch, 0

    def run(
        self,
        corrector: Corrector,
        steps: int,
        rates: Mapping[str, float],
        label: str,
        *,
        decay: bool = True,
        batch: int | None = None,
    ) -> Corrector:
        """Adam for `steps` mini-batches at each stage's rate, with a cosine decay of it unless told otherwise."""
        groups = [{"params": list(stage.parameters()), "lr": rates[stage.name]} for stage in corrector.stages]
        optimiser = torch.optim.Adam(groups, betas=(0.9, 0.95))
        schedule = CosineAnnealingLR(optimiser, steps) if decay else None
        for _ in range(steps):
            rows = self._next_rows(batch or self._batch)
            taps, criterion = self._forward(corrector, rows)
            loss = self._statistics(taps) + criterion
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimiser.step()
            if schedule is not None:
                schedule.step()
            self._tell(label, loss.item(), len(rows))
        return corrector

    def backward_all(self, corrector: Corrector, label: str, images: int | None = None) -> float:
        """Add the gradient of the loss of the first `images` fitted ones, or of all, to the corrector's parameters.

        Returns:
            That loss.
        """
        fitted = self.task.fit[:images]
        loss = backward(self._statistics, partial(self._forward, corrector), pieces(fitted))
        self._tell(label, loss, len(fitted))
        return loss

    @torch.no_grad()
    def ranked(self, candidates: Sequence[Corrector], probe: int) -> list[Ranked]:
        """All candidates by their statistics loss on the first `probe` images, the lowest first, infinite ones last."""
        images = self.task.fit[:probe]
        losses = [float(self._statistics(self._taps(candidate(images)))) for candidate in candidates]
        ranked = [
            Ranked(candidate, loss if isfinite(loss) else inf)
            for candidate, loss in zip(candidates, losses, strict=True)
        ]
        return sorted(ranked, key=lambda entry: entry.loss)

    def _next_rows(self, count: int) -> torch.Tensor:
        """The next images of a random order; a new order where fewer than a batch are left."""
        if len(self._waiting) < count:
            self._waiting = torch.randperm(len(self.task.fit), generator=self._draw)
        rows, self._waiting = self._waiting[:count], self._waiting[count:]
        return rows

    def _forward(self, corrector: Corrector, rows: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Taps of the images with these numbers, and their weighted cross-entropy, 0 without a weight."""
        images = corrector(self.task.fit[rows])
        if not self._criterion_weight:
            return self._taps(images), torch.zeros(())
        assert self.task.labels is not None
        scores, taps = self.task.frozen.scores_and_taps(images)
        criterion = functional.cross_entropy(scores, self.task.labels[rows])
        fitted = {name: taps[name] for name in self.task.fitted_taps}
        return fitted, self._criterion_weight * criterion

    def _taps(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.task.frozen.taps_only(images, self.task.fitted_taps)

    def _tell(self, label: str, loss: float, images: int) -> None:
        """Report now and then: as often as after five mini-batches."""
        before = self._seen // (5 * self._batch)
        self._seen += images
        if self._seen // (5 * self._batch) > before:
            share = min(1.0, self._seen / self._all)
            self.task.report(Progress(share=share, step=f"fit {label}", loss=loss))
