"""Exporters fold BatchNormalization or leave it: where it is left, its statistics and those of source images agree.

The stated tolerance, on the model that ships: means within 0.1 standard deviations of the channel, variances within
15 %. Running statistics are an average over the last few hundred steps of training, in which the weights still moved.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from service.contract.bundle import read_bundle
from service.contract.fingerprint import Fingerprint
from service.contract.manifest import ModelManifest
from service.settings import shipped_models
from trainer.datasets import Dataset
from trainer.frozen import batchnorm_statistics, find_taps
from trainer.interface import Normalisation, read_input_spec
from trainer.registration import register

NORMS = 3
EPSILON = 1e-5


def draw_statistics(content: bytes) -> tuple[bytes, dict[str, np.ndarray]]:
    """The tiny model with normalisations that change something."""
    model = onnx.load_model_from_string(content)
    draw = np.random.default_rng(12)
    values = {}
    for tensor in model.graph.initializer:
        if tensor.name[0] in "gbmv" and tensor.name[1:].isdigit():
            low = 0.5 if tensor.name[0] in "gv" else -0.5
            values[tensor.name] = draw.uniform(low, low + 1, numpy_helper.to_array(tensor).shape).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name], tensor.name))
    return model.SerializeToString(), values


def fold(content: bytes, values: dict[str, np.ndarray]) -> bytes:
    """W g / sqrt(v + eps) and b - m g / sqrt(v + eps) in the convolutions, as exporters do; no normalisation left."""
    model = onnx.load_model_from_string(content)
    kernels = {tensor.name: tensor for tensor in model.graph.initializer}
    for index in range(NORMS):
        gain = values[f"g{index}"] / np.sqrt(values[f"v{index}"] + EPSILON)
        kernel = numpy_helper.to_array(kernels[f"w{index}"]) * gain[:, None, None, None]
        kernels[f"w{index}"].CopyFrom(numpy_helper.from_array(kernel, f"w{index}"))
        bias = numpy_helper.from_array(values[f"b{index}"] - values[f"m{index}"] * gain, f"bias{index}")
        model.graph.initializer.append(bias)
        conv = next(node for node in model.graph.node if list(node.output) == [f"conv{index}"])
        norm = next(node for node in model.graph.node if list(node.output) == [f"norm{index}"])
        conv.input.append(bias.name)
        model.graph.node.remove(norm)
        next(node for node in model.graph.node if norm.output[0] in node.input).input[0] = conv.output[0]
    onnx.checker.check_model(model)
    return model.SerializeToString()


def fingerprint(content: bytes) -> Fingerprint:
    images = np.random.default_rng(1).random((300, 1, 8, 8), dtype=np.float32)
    spec = read_input_spec(content, Normalisation())
    bundle = register(content, name="tiny", spec=spec, source=Dataset(images, None), labels=None, card=None)
    return Fingerprint.from_bytes(bundle.files["fingerprint.npz"])


def test_running_statistics_agree_with_those_of_source_images() -> None:
    bundle = read_bundle(Path(shipped_models()) / "digits", ModelManifest)
    full = Fingerprint.from_bytes(bundle.files["fingerprint.npz"])

    running = batchnorm_statistics(bundle.files["model.onnx"])

    assert list(running) == list(full.taps)
    for name, (mean, var) in running.items():
        measured = full.taps[name]
        assert np.abs((mean - measured.mean) / np.sqrt(measured.var)).max() < 0.1, name
        assert np.abs(var / measured.var - 1).max() < 0.15, name


def test_a_folded_export_has_the_same_taps_moved_by_the_normalisation(tiny_onnx: bytes) -> None:
    left, values = draw_statistics(tiny_onnx)
    folded = fold(left, values)

    assert find_taps(folded) == find_taps(left)
    assert batchnorm_statistics(folded) == {}
    before, after = fingerprint(left), fingerprint(folded)
    for index, name in enumerate(find_taps(left)):
        gain = values[f"g{index}"] / np.sqrt(values[f"v{index}"] + EPSILON)
        mean = (before.taps[name].mean - values[f"m{index}"]) * gain + values[f"b{index}"]
        assert after.taps[name].mean == pytest.approx(mean, abs=1e-5)
        assert after.taps[name].var == pytest.approx(before.taps[name].var * gain**2, rel=1e-4)
