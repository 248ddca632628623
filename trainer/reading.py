"""The frozen model as every fit sees it: planes in, whatever element type, layout or number of rows its file wants.

A fit thinks in planes (n, C, H, W) float32 with any n. Files take uint8 or float16, channels last, or exactly so many
rows. What stands between lies here, with a gradient all the way; the service does the same without one, in
`InputSpec.to_tensor` and `service.engine.fixed_rows`.
"""

from collections.abc import Callable, Collection, Sequence
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.contract.input_spec import InputSpec
from trainer.frozen import FrozenModel, channels_last_taps, load_frozen

Named = dict[str, Tensor]
EXAMPLES = 3


class Reading(nn.Module):
    """A frozen model behind planes.

    Attributes:
        taps: names of the tensors inside that it was loaded with.
    """

    def __init__(
        self, frozen: FrozenModel, spec: InputSpec, *, scores: str, channels_last: Collection[str] = ()
    ) -> None:
        """Read `frozen` as `spec` says.

        Args:
            scores: the output with the class scores.
            channels_last: taps (n, ..., C); they come out as (n, C, ...) like all others.
        """
        super().__init__()
        self.frozen = frozen
        self.taps = frozen.taps
        self._spec = spec
        self._scores = scores
        self._channels_last = frozenset(channels_last)

    @property
    def rows(self) -> int | None:
        """How many rows the file wants; None where any number will do."""
        return self._spec.batch

    def scores_and_taps(self, planes: Tensor) -> tuple[Tensor, Named]:
        """Class scores (n, classes) and every tap (n, C, ...), by name."""

        def compute(x: Tensor) -> Named:
            outputs, taps = self.frozen.forward_with_taps(x)
            return {"": outputs[self._scores], **taps}

        values = self._run(compute, planes)
        return values.pop("").reshape(len(planes), -1), values

    def taps_only(self, planes: Tensor, names: Sequence[str]) -> Named:
        """Some taps by name, computing only what they depend on. Raises UnknownTap."""
        return self._run(lambda x: self.frozen.taps_only(x, names), planes)

    def _run(self, compute: Callable[[Tensor], Named], planes: Tensor) -> Named:
        x = held_as(planes, self._spec.dtype)
        x = x if self._spec.layout == "NCHW" else x.permute(0, 2, 3, 1)
        if self._spec.batch is None:
            values = compute(x)
        else:
            # vmap computes all groups at once, each as the file wants it: sizes that its exporter wrote stay right.
            mapped = torch.vmap(compute)(_groups(x, self._spec.batch))
            values = {name: value.flatten(0, 1)[: len(x)] for name, value in mapped.items()}
        return {name: value.movedim(-1, 1) if name in self._channels_last else value for name, value in values.items()}


def held_as(planes: Tensor, dtype: str) -> Tensor:
    """Planes as an element type can hold them, still float32: `InputSpec.to_tensor` and `to_planes` with a gradient.

    Rounding is straight-through: the gradient is that of the identity, and zero where uint8 saturates.
    """
    if dtype == "float32":
        return planes
    kept = planes.clamp(0, 255) if dtype == "uint8" else planes
    rounded = kept.round() if dtype == "uint8" else kept.half().float()
    return kept + (rounded - kept).detach()


def _groups(x: Tensor, rows: int) -> Tensor:
    """(n, ...) as (ceil(n / rows), rows, ...), the last group filled up with copies of the last row."""
    count = ceil(len(x) / rows)
    missing = count * rows - len(x)
    whole = torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) if missing else x
    return whole.reshape(count, rows, *x.shape[1:])


def rows_of(images: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The first `count` images, from the start again where there are fewer."""
    return images[np.arange(count) % len(images)]


def read_model(
    content: bytes, spec: InputSpec, *, taps: Sequence[str], scores: str, example: NDArray[np.float32]
) -> Reading:
    """Read a frozen model, and compare the reading with onnxruntime on the first planes of `example`.

    Raises:
        FrozenError: the graph cannot be read as a differentiable module, or does not agree with onnxruntime.
    """
    inputs = spec.to_tensor(rows_of(example, spec.batch or EXAMPLES))
    frozen = load_frozen(content, taps=taps, parity_inputs=inputs)
    return Reading(frozen, spec, scores=scores, channels_last=channels_last_taps(content))
