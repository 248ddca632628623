"""An ONNX classifier becomes a model: hash, input, output, taps, fingerprint, parity; a bundle comes out."""

from dataclasses import dataclass

import numpy as np
import onnx
import torch

from service.contract.bundle import Bundle, describe
from service.contract.digest import sha256_hex
from service.contract.input_spec import InputSpec
from service.contract.manifest import ModelManifest, OutputSpec, Tap
from trainer.datasets import Dataset
from trainer.fingerprinting import from_batchnorm, from_images
from trainer.frozen import FrozenModel, batchnorm_statistics, find_taps, load_frozen

FEWEST_TAPS = 3
FEWEST_IMAGES = 128


class RegistrationError(Exception):
    """The model cannot be registered; the message says why and what would help."""


@dataclass(frozen=True)
class Normalisation:
    """How pixels become the model's input; see `InputSpec`."""

    bounds: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


def read_input_spec(content: bytes, normalisation: Normalisation) -> InputSpec:
    """The model's only input, (n, C, H, W) float32 with fixed C, H and W.

    Raises:
        RegistrationError: several inputs, another element type, or a shape that is not that.
    """
    graph = onnx.load_model_from_string(content).graph
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise RegistrationError(f"the model has {len(inputs)} inputs ({names}); a model with one is needed")
    tensor = inputs[0].type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        raise RegistrationError(f"input '{inputs[0].name}' is not float32; export the model with a float32 input")
    sides = [dim.dim_value for dim in tensor.shape.dim]
    if len(sides) != 4 or sides[0] > 0 or min(sides[1:]) < 1:
        shown = ", ".join(str(side) if side > 0 else "free" for side in sides)
        raise RegistrationError(
            f"input '{inputs[0].name}' has shape ({shown}); (n, C, H, W) with n free and fixed C, H, W is needed"
        )
    return InputSpec(
        name=inputs[0].name,
        shape=(sides[1], sides[2], sides[3]),
        bounds=normalisation.bounds,
        mean=normalisation.mean,
        std=normalisation.std,
    )


def choose_taps(names: tuple[str, ...], channels: dict[str, int]) -> tuple[Tap, ...]:
    """All taps, every third reserved, counted back from the last; never the first.

    Fixed by position alone, so that it cannot have been chosen to please: the deepest tap, which sees most of what the
    classifier uses, judges, and each reserved tap has fitted ones in front of it.

    Raises:
        RegistrationError: fewer than three taps, so that none could be reserved beside two fitted ones.
    """
    if len(names) < FEWEST_TAPS:
        raise RegistrationError(
            f"the model has {len(names)} convolution outputs to compare statistics at; {FEWEST_TAPS} are needed"
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
) -> Bundle[ModelManifest]:
    """Everything that the service needs to know of a frozen model.

    Args:
        source: images that the model was made for; without them its BatchNormalization nodes must do.
        labels: class names; numbers where None.
        card: Markdown about the model, kept beside it.

    Raises:
        RegistrationError: there are neither source images nor BatchNormalization nodes, or something does not fit.
        FrozenError: the graph cannot be read as a differentiable module, or does not agree with onnxruntime.
    """
    statistics = batchnorm_statistics(content)
    names = find_taps(content) if source is not None else tuple(statistics)
    if source is None and not names:
        raise RegistrationError(
            "the model keeps no BatchNormalization nodes (most exporters fold them) and no source images were given; "
            "give some with --source, an .npz with x (and y) or a folder of class folders"
        )
    if source is not None and len(source.images) < FEWEST_IMAGES:
        raise RegistrationError(f"{len(source.images)} source images were given; at least {FEWEST_IMAGES} are needed")
    example = _example(spec, source)
    frozen = load_frozen(content, taps=names, parity_inputs=example)
    output, channels = _look(content, frozen, example)
    _check_labels(source, output.classes)
    taps = choose_taps(names, channels)
    sha256 = sha256_hex(content)
    fingerprint = (
        from_batchnorm(statistics, taps, frozen_sha256=sha256)
        if source is None
        else from_images(frozen, source, taps, spec, frozen_sha256=sha256, classes=output.classes)
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


def _example(spec: InputSpec, source: Dataset | None) -> np.ndarray:
    if source is not None:
        return source.images[:3]
    pixels = np.random.default_rng(0).integers(0, 256, (3, *spec.shape), dtype=np.uint8)
    return spec.from_pixels(pixels)


def _look(content: bytes, frozen: FrozenModel, example: np.ndarray) -> tuple[OutputSpec, dict[str, int]]:
    """The output with the class scores, and the channels of each tap."""
    with torch.no_grad():
        outputs, taps = frozen.forward_with_taps(torch.from_numpy(example))
    name = frozen.outputs[0]
    scores = outputs[name]
    if scores.ndim != 2:
        raise RegistrationError(f"output '{name}' has shape {tuple(scores.shape)}; (n, classes) is needed")
    kind = "probabilities" if _ends_in_softmax(content, name) else "logits"
    spec = OutputSpec.model_validate({"name": name, "classes": scores.shape[1], "scores": kind})
    return spec, {tap: value.shape[1] for tap, value in taps.items()}


def _ends_in_softmax(content: bytes, output: str) -> bool:
    nodes = onnx.load_model_from_string(content).graph.node
    return any(node.op_type == "Softmax" and output in node.output for node in nodes)


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
