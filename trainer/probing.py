"""What a frozen model does with a few images: its outputs, its taps, its gradient. Asked once, before it is registered.

Whatever would fail later in a fit or in front of a client is refused here, with the tensor or operator that causes it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from service.contract.input_spec import InputSpec
from service.contract.manifest import OutputSpec
from trainer.frozen import FrozenModel, UnsupportedModel, output_shapes, survey_operators
from trainer.interface import RegistrationError, choose_scores
from trainer.reading import EXAMPLES, Reading, read_model, rows_of

ROWS_TRIED = 16
PROBABILITY_SLACK = 1e-2
"""Half precision and quantization keep a row's sum this close to 1; logits of many rows do not come so by chance."""
STEPS = ("Cast", "Round", "Floor", "Ceil", "Sign", "ArgMax", "ArgMin", "Mod", "BitShift", "OneHot")
"""Operators that may stand between pictures and taps and pass no gradient."""
MISFITS = (RuntimeError, IndexError, ValueError, TypeError)
"""What torch and the kernels raise on sizes that do not fit."""

Planes = NDArray[np.float32]


@dataclass(frozen=True)
class Probed:
    """A model that works for any number of rows.

    Attributes:
        channels: of every tap that keeps its rows apart, in the order of the taps.
    """

    reading: Reading
    output: OutputSpec
    channels: dict[str, int]


def probe(content: bytes, spec: InputSpec, taps: tuple[str, ...], *, scores: str, example: Planes) -> Probed:
    """Try a model on a few images.

    Args:
        taps: candidates; those that mix the rows of a batch are dropped, as windows of a Swin transformer do.
        scores: the output with the class scores, see `find_scores`.
        example: planes (n, C, H, W).

    Raises:
        RegistrationError: it does not work for every number of rows, scores that are not finite, or no gradient
            reaches the input.
        FrozenError: the graph cannot be read as a differentiable module, or does not agree with onnxruntime.
    """
    reading = read_model(content, spec, taps=taps, scores=scores, example=example)
    kept = _taps_of_rows(reading.frozen, spec, example)
    if len(kept) < len(taps):
        reading = read_model(content, spec, taps=kept, scores=scores, example=example)
    values, channels = _look(reading, spec, example)
    if kept:
        _check_gradient(content, reading, example)
    kind = "probabilities" if are_probabilities(values) else "logits"
    output = OutputSpec.model_validate({"name": scores, "classes": values.shape[1], "scores": kind})
    return Probed(reading, output, channels)


def are_probabilities(scores: torch.Tensor) -> bool:
    """Whether all rows could be: a softmax may hide behind reshapes and casts, its values cannot."""
    sums = scores.double().sum(dim=1)
    return bool((scores >= 0).all() and ((sums - 1).abs() < PROBABILITY_SLACK).all())


def find_scores(content: bytes, spec: InputSpec, wanted: str | None) -> str:
    """The output with the class scores, shown to have one entry a row for one row and for several.

    Raises:
        RegistrationError: there is none, or onnxruntime does not run the model.
    """
    rows = spec.batch or EXAMPLES
    shapes = _output_shapes(content, spec, rows)
    name = choose_scores(shapes, wanted=wanted, rows=rows)
    if spec.batch is not None:
        other = [each for each, shape in shapes.items() if shape[:1] != (rows,)]
        if other:
            raise RegistrationError(
                f"the file fixes {rows} rows a run, and output '{other[0]}' has shape {shapes[other[0]]}: the rows of "
                "a request could not be told apart; export the model with an open batch size"
            )
        return name
    alone = _output_shapes(content, spec, 1)[name]
    if alone != (1, *shapes[name][1:]):
        raise RegistrationError(
            f"output '{name}' has shape {shapes[name]} for {rows} rows and {alone} for one: an axis is dropped where a "
            "single picture is asked for; export the model without it (squeeze named axes only)"
        )
    return name


def _output_shapes(content: bytes, spec: InputSpec, rows: int) -> dict[str, tuple[int, ...]]:
    try:
        return output_shapes(content, spec.noise(rows))
    except UnsupportedModel as error:
        raise RegistrationError(str(error)) from error


def _taps_of_rows(frozen: FrozenModel, spec: InputSpec, example: Planes) -> tuple[str, ...]:
    """The taps whose first axis has one entry a row, whatever the number of rows."""
    kept = set(frozen.taps)
    for rows in (EXAMPLES, EXAMPLES + 2) if spec.batch is None else (spec.batch,):
        try:
            with torch.no_grad():
                _, taps = frozen.forward_with_taps(torch.from_numpy(spec.to_tensor(rows_of(example, rows))))
        except MISFITS as error:
            raise RegistrationError(
                f"the model takes {EXAMPLES} rows and not {rows}, though its file leaves their number open: a size was "
                "written down where it should have been computed; export it with its batch axis dynamic, or fixed"
            ) from error
        kept &= {name for name, value in taps.items() if value.dim() > 1 and len(value) == rows}
    return tuple(name for name in frozen.taps if name in kept)


def _look(reading: Reading, spec: InputSpec, example: Planes) -> tuple[torch.Tensor, dict[str, int]]:
    """Class scores of ROWS_TRIED rows, and the channels of each tap."""
    try:
        with torch.no_grad():
            scores, taps = reading.scores_and_taps(torch.from_numpy(rows_of(example, ROWS_TRIED)))
    except MISFITS as error:
        rows = "any number of" if spec.batch is None else f"groups of {spec.batch}"
        raise RegistrationError(f"the model cannot be read for {rows} rows: {error}") from error
    broken = int((~torch.isfinite(scores)).any(dim=1).sum())
    if broken:
        raise RegistrationError(
            f"the class scores of {broken} of {ROWS_TRIED} images are not finite; the weights are damaged, or the "
            "pixels have another range than the model was trained with (--low, --high, --mean, --std)"
        )
    return scores, {tap: value.shape[1] for tap, value in taps.items()}


def _check_gradient(content: bytes, reading: Reading, example: Planes) -> None:
    """Nothing can be fitted where no gradient arrives."""
    planes = torch.from_numpy(rows_of(example, EXAMPLES).copy()).requires_grad_()
    total = torch.stack([value.square().mean() for value in reading.taps_only(planes, reading.taps).values()]).sum()
    gradient = torch.autograd.grad(total, planes)[0] if total.requires_grad else torch.zeros_like(planes)
    if not torch.isfinite(gradient).all():
        raise RegistrationError("the gradient of the taps at the input is not finite; the model cannot be corrected")
    if not gradient.any():
        steps = [use.operator for use in survey_operators(content).uses if use.operator in STEPS]
        raise RegistrationError(
            "no gradient of the taps reaches the input; whole numbers and roundings on the way let none through "
            f"({', '.join(steps) or 'none of them found'}); export the model without the preprocessing"
        )
