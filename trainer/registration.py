"""An ONNX classifier becomes a model: hash, input, output, taps, fingerprint, parity; a bundle comes out."""

from collections.abc import Callable

import numpy as np
import torch

from service.contract.bundle import Bundle, describe
from service.contract.digest import sha256_hex
from service.contract.input_spec import InputSpec
from service.contract.manifest import ModelManifest, OutputSpec, Tap
from trainer.datasets import Dataset
from trainer.fingerprinting import from_batchnorm, from_images
from trainer.frozen import UnsupportedModel, batchnorm_statistics, find_taps, output_shapes
from trainer.interface import RegistrationError, choose_scores
from trainer.reading import EXAMPLES, Reading, read_model, rows_of

FEWEST_TAPS = 3
FEWEST_IMAGES = 128
ROWS_TRIED = 5
PROBABILITY_SLACK = 1e-2
"""Half precision and quantization keep a row's sum this close to 1; logits of several rows do not come so by chance."""


def choose_taps(names: tuple[str, ...], channels: dict[str, int]) -> tuple[Tap, ...]:
    """All taps, every third reserved, counted back from the last; never the first.

    Fixed by position alone, so that it cannot have been chosen to please: the deepest tap, which sees most of what the
    classifier uses, judges, and each reserved tap has fitted ones in front of it.

    Raises:
        RegistrationError: fewer than three taps, so that none could be reserved beside two fitted ones.
    """
    if len(names) < FEWEST_TAPS:
        raise RegistrationError(
            f"the model has {len(names)} tensors to compare statistics at, outputs of convolutions, inputs of "
            f"BatchNormalization nodes or outputs of linear layers; {FEWEST_TAPS} are needed"
        )
    last = len(names) - 1
    return tuple(
        Tap(name=name, channels=channels[name], reserved=index > 0 and (last - index) % 3 == 0)
        for index, name in enumerate(names)
    )


def register(
    content: bytes,
    *,
    name: str,
    spec: InputSpec,
    source: Dataset | None,
    labels: tuple[str, ...] | None,
    card: str | None,
    scores: str | None = None,
    done: Callable[[float], None] = lambda _share: None,
) -> Bundle[ModelManifest]:
    """Everything that the service needs to know of a frozen model.

    Args:
        source: images that the model was made for; without them its BatchNormalization nodes must do.
        labels: class names; numbers where None.
        card: Markdown about the model, kept beside it.
        scores: the output with the class scores; the first that can be one, by default.
        done: told the share of the fingerprint that is made.

    Raises:
        RegistrationError: there are neither source images nor BatchNormalization nodes, or something does not fit.
        FrozenError: the graph cannot be read as a differentiable module, or does not agree with onnxruntime.
    """
    statistics = batchnorm_statistics(content)
    names = _tap_names(content, tuple(statistics), source)
    example = source.images[:EXAMPLES] if source is not None else spec.to_planes(spec.noise(EXAMPLES))
    name_of_scores = choose_scores(_output_shapes(content, spec), wanted=scores)
    reading = read_model(content, spec, taps=names, scores=name_of_scores, example=example)
    output, channels = _look(reading, name_of_scores, example)
    if len(channels) < len(names):
        reading = read_model(content, spec, taps=tuple(channels), scores=name_of_scores, example=example)
    _check_labels(source, output.classes)
    taps = choose_taps(tuple(channels), channels)
    sha256 = sha256_hex(content)
    fingerprint = (
        from_batchnorm(statistics, taps, frozen_sha256=sha256)
        if source is None
        else from_images(reading, source, taps, spec, frozen_sha256=sha256, classes=output.classes, done=done)
    )
    files = {"model.onnx": content, "fingerprint.npz": fingerprint.to_bytes()}
    if card is not None:
        files["README.md"] = card.encode()
    manifest = ModelManifest(
        frozen_sha256=sha256,
        input=spec,
        files=describe(files),
        name=name,
        output=output,
        labels=_labels(labels, output.classes),
        taps=taps,
        fingerprint=fingerprint.kind,
    )
    return Bundle(sha256_hex(manifest.to_bytes()), manifest, files)


def _tap_names(content: bytes, normalized: tuple[str, ...], source: Dataset | None) -> tuple[str, ...]:
    """All taps where there are source images, else those whose statistics BatchNormalization nodes keep."""
    found = find_taps(content)
    if not found:
        raise RegistrationError(
            "the model has neither convolutions nor linear layers with stored weights to compare statistics at; "
            "no corrector can be fitted in front of it"
        )
    if source is None and not normalized:
        raise RegistrationError(
            "the model keeps no BatchNormalization nodes (most exporters fold them) and no source images were given; "
            "give some with --source, an .npz with x (and y) or a folder of class folders"
        )
    if source is not None and len(source.images) < FEWEST_IMAGES:
        raise RegistrationError(f"{len(source.images)} source images were given; at least {FEWEST_IMAGES} are needed")
    return found if source is not None else normalized


def _output_shapes(content: bytes, spec: InputSpec) -> dict[str, tuple[int, ...]]:
    """The shape of every output for one batch of noise, as onnxruntime computes it.

    Raises:
        RegistrationError: onnxruntime does not run the model, or the file fixes its rows and an output has not as many.
    """
    rows = spec.batch or EXAMPLES
    try:
        shapes = output_shapes(content, spec.noise(rows))
    except UnsupportedModel as error:
        raise RegistrationError(str(error)) from error
    other = [name for name, shape in shapes.items() if not shape or shape[0] != rows]
    if spec.batch is not None and other:
        raise RegistrationError(
            f"the file fixes {rows} rows a run, and output '{other[0]}' has shape {shapes[other[0]]}: the rows of a "
            "request could not be told apart; export the model with an open batch size"
        )
    return shapes


def _look(reading: Reading, name: str, example: np.ndarray) -> tuple[OutputSpec, dict[str, int]]:
    """The class scores, and the channels of each tap that tells its rows apart: some mix them, as windows of Swin do.

    Also shows that the reading takes any number of rows.
    """
    try:
        with torch.no_grad():
            scores, taps = reading.scores_and_taps(torch.from_numpy(rows_of(example, ROWS_TRIED)))
    except RuntimeError as error:
        raise RegistrationError(
            f"the model takes {len(example)} rows and not {ROWS_TRIED}, though its file leaves their number open: a "
            "size was written down where it should have been computed; export it with its batch axis dynamic, or fixed"
        ) from error
    kind = "probabilities" if are_probabilities(scores) else "logits"
    spec = OutputSpec.model_validate({"name": name, "classes": scores.shape[1], "scores": kind})
    return spec, {tap: value.shape[1] for tap, value in taps.items() if value.dim() > 1 and len(value) == ROWS_TRIED}


def are_probabilities(scores: torch.Tensor) -> bool:
    """Whether all rows could be: a softmax may hide behind reshapes and casts, its values cannot."""
    sums = scores.double().sum(dim=1)
    return bool((scores >= 0).all() and ((sums - 1).abs() < PROBABILITY_SLACK).all())


def _check_labels(source: Dataset | None, classes: int) -> None:
    if source is None or source.labels is None:
        return
    low, high = int(source.labels.min()), int(source.labels.max())
    if low < 0 or high >= classes:
        raise RegistrationError(f"source labels run from {low} to {high}; the model has classes 0 to {classes - 1}")


def _labels(labels: tuple[str, ...] | None, classes: int) -> tuple[str, ...]:
    if labels is None:
        return tuple(str(index) for index in range(classes))
    if len(labels) != classes:
        raise RegistrationError(f"{len(labels)} labels were given; the model has {classes} classes")
    return labels
