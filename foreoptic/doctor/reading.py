"""Section "reading": how well the differentiable reading agrees with onnxruntime, and the gradient that it gives."""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from service.contract.input_spec import InputSpec
from trainer.frozen import survey_parity
from trainer.measure import chunks
from trainer.reading import EXAMPLES, Reading, rows_of

BATCH = 64


@dataclass(frozen=True)
class Parity:
    """Largest relative differences from onnxruntime; None for taps where there are none.

    Attributes:
        rounds: whether the file rounds: errors are root mean squares then, for each node is compared by itself.
        nodewise: what is wrong with the first node that is not right by itself.
    """

    output: str
    outputs_error: float
    tap: str | None
    taps_error: float | None
    tolerance: float
    rounds: bool
    nodewise: str | None

    @property
    def holds(self) -> bool:
        """Whether all differences are allowed."""
        return self.nodewise is None and max(self.outputs_error, self.taps_error or 0.0) <= self.tolerance


@dataclass(frozen=True)
class Gradient:
    """The gradient of all taps together, at the input.

    Attributes:
        nonzero: share of the input's values that have any.
        images: how many went through in the pass that was timed.
        batch: images that `batch_seconds`, one pass forward and backward, is for.
    """

    finite: bool
    nonzero: float
    images: int
    batch: int
    batch_seconds: float


def read(
    content: bytes, spec: InputSpec, *, taps: tuple[str, ...], scores: str, example: NDArray[np.float32]
) -> tuple[Reading, Parity]:
    """Read the file and compare it on the first planes of `example`. Raises FrozenError."""
    found = survey_parity(content, taps=taps, inputs=spec.to_tensor(rows_of(example, spec.batch or EXAMPLES)))
    output = max(found.model.outputs, key=found.errors.__getitem__)
    tap = max(taps, key=found.errors.__getitem__, default=None)
    parity = Parity(
        output=output,
        outputs_error=found.errors[output],
        tap=tap,
        taps_error=None if tap is None else found.errors[tap],
        tolerance=found.tolerance,
        rounds=found.rounds,
        nodewise=found.nodewise,
    )
    return Reading(found.model, spec, scores=scores), parity


def look_at_gradient(reading: Reading, example: NDArray[np.float32]) -> Gradient:
    """One pass through all taps, after one of a single image, over as many of BATCH as go into memory together."""
    planes = chunks(torch.from_numpy(rows_of(example, BATCH)))[0]
    _gradient(reading, planes[:1])
    started = perf_counter()
    gradient = _gradient(reading, planes)
    seconds = (perf_counter() - started) * BATCH / len(planes)
    finite, nonzero = bool(gradient.isfinite().all()), float((gradient != 0).float().mean())
    return Gradient(finite, nonzero, len(planes), BATCH, seconds)


def _gradient(reading: Reading, planes: torch.Tensor) -> torch.Tensor:
    leaf = planes.clone().requires_grad_()
    taps = reading.taps_only(leaf, reading.taps)
    # Mean squares, each tap weighing the same: a sum would leave a zero wherever a channel is normalised away.
    loss = torch.stack([(tap**2).mean() for tap in taps.values()]).sum()
    return torch.autograd.grad(loss, leaf)[0]
