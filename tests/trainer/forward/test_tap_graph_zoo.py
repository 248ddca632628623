"""The tap graph against the torch reading of the same file, for architectures whose taps lie in unlike places."""

import numpy as np
import pytest
import torch

from service.contract.fingerprint import Fingerprint
from service.contract.statistics import pool
from tests.trainer.test_zoo_registration import registered, written
from trainer.corrector import Corrector
from trainer.forward import TapGraph
from trainer.measure import tap_moments
from trainer.reading import read_model


@pytest.mark.parametrize(
    "architecture", ["ResNet-20", "DenseNet", "MobileNetV3", "EfficientNet", "ConvNeXt", "ViT, fused attention"]
)
def test_onnxruntime_and_torch_have_the_same_moments_at_every_tap(architecture: str) -> None:
    content = written(architecture, keep_norms=True)
    bundle, images = registered(architecture, content)
    spec, taps = bundle.manifest.input, [tap.name for tap in bundle.manifest.taps]
    source = Fingerprint.from_bytes(bundle.files["fingerprint.npz"]).moments()
    seen = images[:40]

    graph = TapGraph(content, spec, {name: source[name] for name in taps}, threads=1)
    found = pool(graph.moments(seen))

    reading = read_model(content, spec, taps=taps, scores=bundle.manifest.output.name, example=images)
    wanted = pool(tap_moments(reading, Corrector(), torch.from_numpy(seen), taps))
    for name in taps:
        scale = np.sqrt(wanted[name].var.max())
        np.testing.assert_allclose(found[name].mean, wanted[name].mean, rtol=0, atol=1e-5 * scale)
        np.testing.assert_allclose(found[name].var, wanted[name].var, rtol=0, atol=1e-5 * scale**2)
