"""A feature map is a file; what it gives for the source's images has the statistics that it says the source has."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper

import trainer.features
from service.contract.statistics import ImageMoments
from tests.trainer.paper_case import images, paper_task
from trainer.features import INPUT, Options, known_features, load_features
from trainer.features.random_network import randomised
from trainer.frozen import FrozenError
from trainer.task import NoSource

CLOSE = 1e-4
"""Float32 activations of order 1 against their moments in float64."""

every_map = pytest.mark.parametrize("name", known_features())


def test_every_file_of_the_folder_is_a_map_and_nothing_else_is() -> None:
    files = {file.stem for file in Path(trainer.features.__path__[0]).glob("*.py")}

    assert set(known_features()) == files - {"__init__"}
    assert {"all_taps", "penultimate", "random_network", "random_projection"} <= set(known_features())


@pytest.mark.parametrize("name", ["", "os", "../task", "__init__", "All_taps"], ids=repr)
def test_what_is_no_map_is_refused_with_the_list_of_those_that_are(name: str) -> None:
    with pytest.raises(ValueError, match="all_taps, penultimate"):
        load_features(name)


@every_map
def test_the_scores_beside_the_features_are_the_models_own(name: str, tiny) -> None:
    task, x = paper_task(tiny), torch.from_numpy(images(5, 9))
    features = load_features(name)(task, Options())

    scores, beside = features.with_scores(x)

    alone = features(x)
    torch.testing.assert_close(scores, task.frozen.scores_and_taps(x)[0])
    assert list(beside) == list(alone) == list(features.source())
    for key, value in alone.items():
        torch.testing.assert_close(beside[key], value)


@pytest.mark.parametrize("name", ["random_network", "random_projection"])
def test_source_statistics_are_those_of_the_source_images(name: str, tiny) -> None:
    task = paper_task(tiny)
    assert task.source is not None
    features = load_features(name)(task, Options())

    source = features.source()

    labels = task.source.labels.numpy()
    for key, value in features(task.source.images).items():
        moments = ImageMoments.of(value.numpy())
        np.testing.assert_allclose(source[key].pooled.mean, moments.pooled().mean, atol=CLOSE)
        np.testing.assert_allclose(source[key].pooled.var, moments.pooled().var, atol=CLOSE)
        for index, of_class in enumerate(source[key].classes):
            rows = np.flatnonzero(labels == index)
            assert (of_class is None) == (len(rows) == 0)
            if of_class is not None:
                np.testing.assert_allclose(of_class.mean, moments.take(rows).pooled().mean, atol=CLOSE)
                np.testing.assert_allclose(of_class.var, moments.take(rows).pooled().var, atol=CLOSE)


def test_the_taps_statistics_are_the_fingerprints_and_need_no_image(tiny) -> None:
    task = paper_task(tiny, source=None, random_network=None)

    source = load_features("all_taps")(task, Options()).source()

    for name, found in source.items():
        kept = task.fingerprint.taps[name]
        np.testing.assert_array_equal(found.pooled.mean, kept.mean)
        known = [index for index, moments in enumerate(found.classes) if moments is not None]
        assert known == np.flatnonzero(task.fingerprint.class_counts).tolist()
        # The law of total variance: classes together are the whole.
        weights = task.fingerprint.class_counts[known] / task.fingerprint.class_counts.sum()
        means = np.stack([found.classes[index].mean for index in known])
        variances = np.stack([found.classes[index].var for index in known])
        total = weights @ (variances + means**2) - (weights @ means) ** 2
        np.testing.assert_allclose(total, kept.var, rtol=1e-6)


def test_the_first_tap_and_the_input_come_back_when_asked_for(tiny) -> None:
    task = paper_task(tiny)
    build = load_features("all_taps")

    assert list(build(task, Options()).source()) == list(task.fitted_taps[1:])
    assert list(build(task, Options(with_first=True)).source()) == list(task.fitted_taps)
    assert list(build(task, Options(with_first=True, with_input=True)).source()).count(INPUT) == 1


def test_the_penultimate_map_is_the_last_tap_alone(tiny) -> None:
    task = paper_task(tiny)

    assert list(load_features("penultimate")(task, Options()).source()) == [task.fitted_taps[-1]]


def test_projections_are_on_directions_of_unit_length_that_the_seed_draws(tiny) -> None:
    x = torch.from_numpy(images(6, 1))
    build = load_features("random_projection")
    first, again, other = (build(paper_task(tiny, seed=seed), Options(projections=20)) for seed in (0, 0, 1))

    (values,) = first(x).values()

    assert values.shape == (6, 20)
    torch.testing.assert_close(first.directions.norm(dim=0), torch.ones(20))
    torch.testing.assert_close(values, torch.einsum("nchw,chwk->nk", x, first.directions.reshape(1, 8, 8, 20)))
    assert torch.equal(values, next(iter(again(x).values())))
    assert not torch.equal(values, next(iter(other(x).values())))


@pytest.mark.parametrize("name", ["random_network", "random_projection"])
def test_a_map_that_needs_source_images_says_so(name: str, tiny) -> None:
    with pytest.raises(NoSource, match=r"source images|random_network"):
        load_features(name)(paper_task(tiny, source=None, random_network=None), Options())


def test_a_random_networks_normalisations_hold_the_statistics_of_the_source(tiny) -> None:
    content, x = tiny.files["model.onnx"], images(200, 4)

    random = randomised(content, x, seed=0)

    model = onnx.load_model_from_string(random)
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    kind = onnx.TensorProto.FLOAT
    model.graph.output.extend(helper.make_tensor_value_info(node.output[0], kind, None) for node in norms)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    normalised = session.run([node.output[0] for node in norms], {"image": x})
    assert norms
    for value in normalised:
        # With gain 1 and shift 0 what comes out is standardised.
        np.testing.assert_allclose(value.mean(axis=(0, 2, 3)), 0, atol=1e-3)
        np.testing.assert_allclose(value.var(axis=(0, 2, 3)), 1, atol=1e-2)


def test_a_random_network_is_drawn_by_its_seed_alone(tiny) -> None:
    content, x = tiny.files["model.onnx"], images(50, 4)

    assert randomised(content, x, seed=0) == randomised(content, x, seed=0)
    assert randomised(content, x, seed=0) != randomised(content, x, seed=1)


def test_a_network_whose_weights_are_computed_is_refused_and_not_left_trained(tiny) -> None:
    model = onnx.load_model_from_string(tiny.files["model.onnx"])
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    node.name, stored = "first", node.input[1]
    node.input[1] = "computed"
    model.graph.node.insert(0, helper.make_node("Identity", [stored], ["computed"]))

    with pytest.raises(FrozenError, match="weights of Conv 'first' stored as they are"):
        randomised(model.SerializeToString(), images(50, 4), seed=0)
