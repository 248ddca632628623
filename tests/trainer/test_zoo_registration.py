"""Architectures that are not a plain chain of convolutions: registered, with taps as onnxruntime computes them."""

import numpy as np
import onnx
import onnxruntime
import pytest

from service.contract.bundle import Bundle
from service.contract.fingerprint import Fingerprint
from service.contract.manifest import ModelManifest
from trainer.datasets import Dataset
from trainer.frozen import batchnorm_statistics, channels_last_taps, find_taps
from trainer.interface import Normalisation, read_input_spec
from trainer.registration import register
from trainer.studies.frozen_models.exporters import Export, export
from trainer.studies.zoo import ARCHITECTURES, build

OPSET = 17


def written(architecture: str, *, keep_norms: bool = False) -> bytes:
    return export(
        build(architecture), ARCHITECTURES[architecture].shape, Export("tracing", OPSET, keep_norms=keep_norms)
    )


def registered(architecture: str, content: bytes) -> tuple[Bundle[ModelManifest], np.ndarray]:
    shape = ARCHITECTURES[architecture].shape
    images = np.random.default_rng(0).standard_normal((130, *shape)).astype(np.float32)
    spec = read_input_spec(content, Normalisation(bounds=(-4.0, 4.0)))
    bundle = register(content, name="zoo", spec=spec, source=Dataset(images, None), labels=None, card=None)
    return bundle, images


def onnxruntime_value(content: bytes, name: str, images: np.ndarray) -> np.ndarray:
    model = onnx.load_model_from_string(content)
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([name], {session.get_inputs()[0].name: images})[0]


@pytest.mark.parametrize("architecture", ["ViT, fused attention", "ViT, module attention"])
def test_a_transformer_is_compared_at_its_linear_layers(architecture: str) -> None:
    content = written(architecture)

    bundle, images = registered(architecture, content)

    last = channels_last_taps(content) & {tap.name for tap in bundle.manifest.taps}
    assert len(last) >= 4
    fingerprint = Fingerprint.from_bytes(bundle.files["fingerprint.npz"])
    for name in last:
        tokens = onnxruntime_value(content, name, images).astype(np.float64)
        axes = tuple(range(tokens.ndim - 1))
        np.testing.assert_allclose(tokens.mean(axes), fingerprint.taps[name].mean, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(tokens.var(axes), fingerprint.taps[name].var, rtol=1e-3, atol=1e-4)


def test_what_dense_blocks_normalise_is_a_tap_with_statistics() -> None:
    content = written("DenseNet", keep_norms=True)
    norms = [node for node in onnx.load_model_from_string(content).graph.node if node.op_type == "BatchNormalization"]

    assert set(find_taps(content)) >= {node.input[0] for node in norms}
    assert len(batchnorm_statistics(content)) == len({node.input[0] for node in norms}) == len(norms)


def test_convolutions_alone_are_the_taps_of_a_convolutional_network() -> None:
    content = written("MobileNetV3")

    assert channels_last_taps(content) & set(find_taps(content)) == set()
