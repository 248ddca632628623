"""Gradient steps on the fitted taps of the fit part."""

from collections.abc import Mapping, Sequence
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
            steps: how many there will be at most, for the progress that is reported.
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
        self._all_steps, self._steps_done = steps, 0

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
            loss = self._loss(corrector, rows)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimiser.step()
            if schedule is not None:
                schedule.step()
            self._tell(label, loss)
        return corrector

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

    def _loss(self, corrector: Corrector, rows: torch.Tensor) -> torch.Tensor:
        images = corrector(self.task.fit[rows])
        if not self._criterion_weight:
            return self._statistics(self._taps(images))
        assert self.task.labels is not None
        scores, taps = self.task.frozen.scores_and_taps(images)
        criterion = functional.cross_entropy(scores, self.task.labels[rows])
        return self._statistics(taps) + self._criterion_weight * criterion

    def _taps(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.task.frozen.taps_only(images, self.task.fitted_taps)

    def _tell(self, label: str, loss: torch.Tensor) -> None:
        self._steps_done += 1
        if self._steps_done % 5 == 0:
            share = min(1.0, self._steps_done / self._all_steps)
            self.task.report(Progress(share=share, step=f"fit {label}", loss=loss.item()))
