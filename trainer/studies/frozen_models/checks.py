"""Read one exported file and compare it: values with onnxruntime, the gradient with the network it was made from.

Both oracles are independent of the reading: onnxruntime computes the file, torch's autograd the network.
"""

from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from trainer.frozen import FrozenError, FrozenModel, batchnorm_statistics, find_taps, load_frozen
from trainer.frozen.parity import relative_error
from trainer.runtime import make_session
from trainer.studies.frozen_models.exporters import ROWS, Export, export
from trainer.studies.zoo import ARCHITECTURES

PARITY_TOLERANCE = 1e-4
"""What `load_frozen` allows by default."""
GRADIENT_TOLERANCE = 1e-3
"""Of the whole gradient's length. A rounding error may carry a unit over the kink of its ReLU, so no tighter."""


@dataclass(frozen=True)
class Reading:
    """One file, read and compared.

    Attributes:
        architecture: key of `ARCHITECTURES`.
        way: how the file was made.
        refusal: what the reading says where it refuses the file, else empty; then the numbers below are 0.
        taps: default taps.
        with_statistics: those of them that a BatchNormalization reads.
        norms: BatchNormalization modules of the network.
        parity: largest `relative_error` of any output or tap against onnxruntime.
        gradient: |g - g'| / |g'| over the batch, of the gradient of the sum of logsumexp(scores) to the pictures.
    """

    architecture: str
    way: Export
    refusal: str = ""
    taps: int = 0
    with_statistics: int = 0
    norms: int = 0
    parity: float = 0.0
    gradient: float = 0.0

    @property
    def holds(self) -> bool:
        """Read, and both comparisons within their tolerances."""
        return not self.refusal and self.parity <= PARITY_TOLERANCE and self.gradient <= GRADIENT_TOLERANCE


def examine(architecture: str, net: nn.Module, way: Export) -> Reading:
    """Export, read, compare. Raises ExportFailed where torch does not write the file."""
    shape = ARCHITECTURES[architecture].shape
    model_bytes, images = export(net, shape, way), _images(shape, way)
    try:
        taps = find_taps(model_bytes)
        # Measured below, so that the table shows by how much and not only that.
        frozen = load_frozen(model_bytes, taps=taps, parity_inputs=images, tolerance=float("inf"))
        known = batchnorm_statistics(model_bytes)
    except FrozenError as error:
        return Reading(architecture, way, refusal=str(error))
    return Reading(
        architecture,
        way,
        taps=len(taps),
        with_statistics=len(known),
        norms=sum(isinstance(module, nn.BatchNorm2d) for module in net.modules()),
        parity=_difference(frozen, model_bytes, images),
        gradient=_gradient_difference(frozen, net, torch.from_numpy(images)),
    )


def _images(shape: tuple[int, int, int], way: Export) -> np.ndarray:
    """Another batch size than the exporter saw where that is open, and another picture size, not a multiple of 4."""
    channels, height, width = shape
    rows = ROWS if way.axes == "none" else ROWS + 1
    if way.axes == "batch and size":
        height, width = height + 6, width - 11
    return np.random.default_rng(0).standard_normal((rows, channels, height, width), np.float32)


def _difference(frozen: FrozenModel, model_bytes: bytes, images: np.ndarray) -> float:
    model = onnx.load_model_from_string(model_bytes)
    names = (*frozen.outputs, *(tap for tap in frozen.taps if tap not in frozen.outputs))
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = make_session(model.SerializeToString())
    expected = dict(zip(names, session.run(list(names), {frozen.input_name: images}), strict=True))
    with torch.no_grad():
        outputs, taps = frozen.forward_with_taps(torch.from_numpy(images))
    return max(relative_error(value.numpy(), expected[name]) for name, value in {**outputs, **taps}.items())


def _gradient_difference(frozen: FrozenModel, net: nn.Module, images: Tensor) -> float:
    got, expected = (_gradient(model, images) for model in (frozen, net))
    return float((got - expected).norm() / expected.norm())


def _gradient(model: nn.Module, images: Tensor) -> Tensor:
    leaf = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf).logsumexp(dim=1).sum(), leaf)
    return gradient
