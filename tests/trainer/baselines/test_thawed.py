"""A thawed copy: at rest it answers as the frozen model; following, as torch's own batch normalisation in training."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from service.contract.bundle import Bundle
from service.contract.manifest import ModelManifest
from tests.trainer.tiny_case import shifted, source, tiny_task
from trainer.baselines.bn_adapt import bn_adapt
from trainer.baselines.thawed import thaw
from trainer.reading import Reading

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def reading(tiny: Bundle[ModelManifest]) -> Reading:
    return tiny_task(tiny, source(20, 0)).frozen


def scores(reading: Reading, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return reading.scores_and_taps(torch.from_numpy(images))[0].numpy()


def in_torch(content: bytes) -> nn.Sequential:
    """The tiny model built from its file's numbers, in training mode."""
    graph = onnx.load_model_from_string(content).graph
    value = {entry.name: torch.tensor(numpy_helper.to_array(entry)) for entry in graph.initializer}
    layers: list[nn.Module] = []
    for index in range(3):
        weight = value[f"w{index}"]
        convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, bias=False)
        convolution.weight.data = weight
        norm = nn.BatchNorm2d(len(weight), momentum=0.3)
        norm.running_mean, norm.running_var = value[f"m{index}"].clone(), value[f"v{index}"].clone()
        norm.weight.data, norm.bias.data = value[f"g{index}"], value[f"b{index}"]
        layers += [convolution, norm, nn.ReLU()]
    head = nn.Linear(8, len(value["hb"]))
    head.weight.data, head.bias.data = value["hw"], value["hb"]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).train()


def test_at_rest_it_answers_as_the_frozen_model_does(reading: Reading) -> None:
    copy, _ = thaw(reading)

    np.testing.assert_array_equal(scores(copy, shifted(20, 1)), scores(reading, shifted(20, 1)))


def test_following_it_is_torchs_own_normalisation_in_training(reading: Reading, tiny: Bundle[ModelManifest]) -> None:
    copy, pace = thaw(reading)
    twin = in_torch(tiny.files["model.onnx"])
    pace.following, pace.momentum = True, 0.3

    for seed in range(3):
        expected = twin(torch.from_numpy(shifted(20, seed))).detach().numpy()
        np.testing.assert_allclose(scores(copy, shifted(20, seed)), expected, rtol=0, atol=1e-4)

    pace.following = False
    expected = twin.eval()(torch.from_numpy(source(20, 9))).detach().numpy()
    np.testing.assert_allclose(scores(copy, source(20, 9)), expected, rtol=0, atol=1e-4)


def test_the_frozen_model_does_not_follow_its_copy(reading: Reading) -> None:
    before = scores(reading, shifted(20, 1))
    copy, pace = thaw(reading)
    pace.following = True

    scores(copy, shifted(20, 1))

    np.testing.assert_array_equal(scores(reading, shifted(20, 1)), before)


def test_bn_adaptation_to_the_targets_statistics_is_torchs_with_a_momentum_of_one(
    reading: Reading, tiny: Bundle[ModelManifest]
) -> None:
    twin = in_torch(tiny.files["model.onnx"])
    for layer in twin:
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    twin(torch.from_numpy(shifted(64, 2)))

    adapted = bn_adapt(reading, torch.from_numpy(shifted(64, 2)), source_images=0)

    expected = twin.eval()(torch.from_numpy(shifted(20, 3))).detach().numpy()
    np.testing.assert_allclose(scores(adapted, shifted(20, 3)), expected, rtol=0, atol=1e-4)


def test_a_source_that_counts_as_many_images_as_there_are_gets_half(
    reading: Reading,
) -> None:
    images = torch.from_numpy(shifted(64, 2))
    ends = [dict(bn_adapt(reading, images, source_images=count).named_buffers()) for count in (0, 64, 1e12)]

    for name, frozen in reading.named_buffers():
        torch.testing.assert_close(ends[2][name], frozen)
        torch.testing.assert_close(ends[1][name], (ends[0][name] + frozen) / 2)
    assert any(not torch.equal(ends[0][name], frozen) for name, frozen in reading.named_buffers())
