"""The zoo is read back from both exporters: as onnxruntime computes it, with the network's own gradient.

One opset each, and through the slow exporter one architecture of each family; `python -m trainer.studies.frozen_models`
tries them all.
"""

import pytest
import torch

from trainer.studies.frozen_models.checks import GRADIENT_TOLERANCE, PARITY_TOLERANCE, Reading, examine
from trainer.studies.frozen_models.exporters import Export
from trainer.studies.zoo import ARCHITECTURES, build

WITHOUT_NORMS = {"VGG", "SqueezeNet", "ConvNeXt", "ViT, fused attention", "ViT, module attention"}
FAMILIES = (
    "ResNet, bottleneck",
    "VGG, normalised",
    "DenseNet",
    "MobileNetV3",
    "EfficientNet",
    "ShuffleNetV2",
    "SqueezeNet",
    "Inception",
    "ConvNeXt",
    "U-Net, bilinear",
    "DeepLab",
    "ViT, fused attention",
)
OPEN_SIZE = [name for name, architecture in ARCHITECTURES.items() if architecture.open_size]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_is_read_from_the_tracing_exporter(architecture: str) -> None:
    reading = examine(architecture, build(architecture), Export("tracing", 17))

    _assert_holds(reading)


@pytest.mark.parametrize("architecture", FAMILIES)
def test_every_family_is_read_from_torch_export(architecture: str) -> None:
    reading = examine(architecture, build(architecture), Export("torch.export", 18))

    _assert_holds(reading)


def _assert_holds(reading: Reading) -> None:
    assert reading.refusal == ""
    assert reading.parity <= PARITY_TOLERANCE
    assert reading.gradient <= GRADIENT_TOLERANCE


@pytest.mark.parametrize("architecture", OPEN_SIZE)
def test_a_picture_of_another_size_is_read_where_the_file_leaves_it_open(architecture: str) -> None:
    reading = examine(architecture, build(architecture), Export("tracing", 17, "batch and size"))

    _assert_holds(reading)


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - WITHOUT_NORMS))
def test_normalisations_that_survive_keep_their_statistics(architecture: str) -> None:
    reading = examine(architecture, build(architecture), Export("tracing", 17, keep_norms=True))

    _assert_holds(reading)
    assert 0 < reading.with_statistics == reading.norms <= reading.taps


def test_a_network_of_the_zoo_is_the_same_at_every_call() -> None:
    first, second = (build("MobileNetV3").state_dict() for _ in range(2))

    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_statistic_of_the_zoo_is_what_torch_starts_with(architecture: str) -> None:
    norms = [module for module in build(architecture).modules() if isinstance(module, torch.nn.BatchNorm2d)]

    assert (not norms) == (architecture in WITHOUT_NORMS)
    for norm in norms:
        mean, var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        assert not (mean == 0).any()
        assert not (var == 1).any()
        assert not (norm.weight == 1).any()
