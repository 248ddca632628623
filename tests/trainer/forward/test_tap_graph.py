"""Moments out of the graph against moments of the reading's activations, for every interface that files have."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from service.contract.input_spec import InputSpec
from service.contract.statistics import ChannelMoments, ImageMoments, pool
from tests.interface_variants import VARIANTS
from trainer.corrector import Corrector
from trainer.forward.tap_graph import TapGraph, TapGraphError, tap_model
from trainer.frozen import channels_last_taps, find_taps
from trainer.interface import Normalisation, read_input_spec
from trainer.measure import measure
from trainer.reading import read_model
from trainer.studies.quantized import quantize

IMAGES = 7
SMALL = 1e-4
"""Two ways of summing in single precision, relative to a channel's own scale."""
ROUNDED = 2e-2
"""Half precision, and quanta that lie on a tie."""


def planes(count: int = IMAGES, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 1, 8, 8), dtype=np.float32)


def unit(channels: Mapping[str, int]) -> dict[str, ChannelMoments]:
    return {name: ChannelMoments(np.zeros(size), np.ones(size)) for name, size in channels.items()}


def assert_close(found: Mapping[str, ImageMoments], expected: Mapping[str, ImageMoments], tolerance: float) -> None:
    assert list(expected) == list(found)
    for name, tap in expected.items():
        scale = np.sqrt(tap.second.mean()) + 1e-6
        np.testing.assert_allclose(found[name].first, tap.first, atol=tolerance * scale, err_msg=name)
        np.testing.assert_allclose(found[name].second, tap.second, atol=tolerance * scale**2, err_msg=name)


def compared(content: bytes, spec: InputSpec, x: np.ndarray, tolerance: float) -> None:
    """Every default tap and the scores, against the reading."""
    outputs = {output.name for output in onnx.load_model_from_string(content).graph.output}
    scores = "probabilities" if "probabilities" in outputs else "logits"
    taps = find_taps(content)
    reading = read_model(content, spec, taps=taps, scores=scores, example=x)
    expected = measure(reading, Corrector(), torch.from_numpy(x))
    source = pool({name: expected.moments[name] for name in taps})

    seen = TapGraph(content, spec, source, threads=1, scores=scores).see(x)

    assert_close(seen.moments, expected.moments, tolerance)
    np.testing.assert_allclose(seen.scores, expected.scores, atol=tolerance * np.abs(expected.scores).max())


@pytest.mark.parametrize("name", VARIANTS)
def test_moments_and_scores_are_the_reading_s_behind_every_interface(name, tiny_onnx) -> None:
    content = VARIANTS[name](tiny_onnx)
    spec = read_input_spec(content, Normalisation(), size=(8, 8))
    x = planes() * (255 if spec.dtype == "uint8" else 1)

    compared(content, spec, np.asarray(x, np.float32), ROUNDED if spec.dtype == "float16" else SMALL)


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 21])
def test_moments_are_the_reading_s_in_every_opset(opset, tiny_onnx) -> None:
    model = onnx.load_model_from_string(tiny_onnx)
    model.opset_import[0].version = opset

    compared(model.SerializeToString(), read_input_spec(tiny_onnx, Normalisation()), planes(), SMALL)


@pytest.mark.filterwarnings("ignore")  # of onnxruntime's quantizer, about options that it was not given
@pytest.mark.parametrize("form", ["qdq", "operators"])
def test_moments_are_the_reading_s_in_eight_bits(form, tiny_onnx) -> None:
    content = quantize(tiny_onnx, planes(64, seed=4), name="image", form=form)

    compared(content, read_input_spec(content, Normalisation()), planes(), ROUNDED)


def test_more_images_than_one_run_takes_are_all_seen(tiny_onnx) -> None:
    spec, x = read_input_spec(tiny_onnx, Normalisation()), planes(600)
    graph = TapGraph(tiny_onnx, spec, unit({"conv0": 6}), threads=1)

    together, alone = graph.moments(x)["conv0"], graph.moments(x[555:556])["conv0"]

    assert 600 == len(together)
    np.testing.assert_allclose(together.first[555], alone.first[0], rtol=1e-5)


def biased(offset: float) -> bytes:
    """One convolution whose output lies that far from 0."""
    kernel = np.random.default_rng(0).normal(0, 0.3, (2, 1, 3, 3)).astype(np.float32)
    stored = [numpy_helper.from_array(kernel, "k"), numpy_helper.from_array(np.float32([offset, -offset]), "b")]
    sides = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 8, 8]),
        helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 2, 6, 6]),
    ]
    nodes = [helper.make_node("Conv", ["image", "k", "b"], ["tap"]), helper.make_node("Relu", ["tap"], ["out"])]
    graph = helper.make_graph(nodes, "biased", sides[:1], sides[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_the_variance_of_a_channel_far_from_zero_keeps_its_digits() -> None:
    content, x = biased(3000.0), planes(20)
    spec = read_input_spec(content, Normalisation())
    model = onnx.load_model_from_string(content)
    model.graph.output.append(helper.make_tensor_value_info("tap", TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = ImageMoments.of(session.run(["tap"], {"image": x})[0]).pooled()

    def variance(about: np.ndarray) -> np.ndarray:
        graph = TapGraph(content, spec, {"tap": ChannelMoments(about, np.ones(2))}, threads=1)
        return graph.moments(x)["tap"].pooled().var

    # The source's mean need not be the target's: one deviation off is far, here.
    np.testing.assert_allclose(variance(np.array([3000.5, -3000.5])), expected.var, rtol=1e-3)
    # Without the shift nothing is left of it, so that this test can fail.
    assert np.abs(variance(np.zeros(2)) - expected.var).max() > 0.1 * expected.var.max()


def tokens() -> bytes:
    """Patches as (n, 16, 5) through a linear layer, as in a vision transformer."""
    draw = np.random.default_rng(0)
    stored = {
        "patch": draw.normal(size=(5, 1, 2, 2)).astype(np.float32),
        "weights": draw.normal(size=(5, 3)).astype(np.float32),
        "sizes": np.array([0, 5, -1]),
    }
    nodes = [
        helper.make_node("Conv", ["image", "patch"], ["embedded"], strides=[2, 2]),
        helper.make_node("Reshape", ["embedded", "sizes"], ["flat"]),
        helper.make_node("Transpose", ["flat"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["rows", "weights"], ["linear"]),
        helper.make_node("ReduceMean", ["linear"], ["logits"], axes=[1], keepdims=0),
    ]
    sides = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 8, 8]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3]),
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in stored.items()]
    graph = helper.make_graph(nodes, "tokens", sides[:1], sides[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_features_of_linear_layers_are_channels() -> None:
    content = tokens()
    assert frozenset({"linear"}) == channels_last_taps(content)

    compared(content, read_input_spec(content, Normalisation()), planes(), SMALL)


def test_what_lies_behind_the_last_tap_is_cut_off(tiny_onnx) -> None:
    model = onnx.load_model_from_string(tap_model(tiny_onnx, unit({"conv1": 8})))

    operators = [node.op_type for node in model.graph.node]
    stored = {tensor.name for tensor in model.graph.initializer}
    assert 2 == operators.count("Conv")
    assert "Gemm" not in operators
    assert {"w0", "w1"} <= stored
    assert stored.isdisjoint({"w2", "hw", "hb", "g1"})


def test_stored_tensors_that_are_listed_as_inputs_need_not_be_fed(tiny_onnx) -> None:
    model = onnx.load_model_from_string(tiny_onnx)
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    spec, source = read_input_spec(tiny_onnx, Normalisation()), unit({"conv0": 6})

    listed = TapGraph(model.SerializeToString(), spec, source, threads=1).moments(planes())

    assert_close(listed, TapGraph(tiny_onnx, spec, source, threads=1).moments(planes()), 1e-6)


def test_what_a_sub_graph_reads_from_outside_stays(tiny_onnx) -> None:
    model = onnx.load_model_from_string(tiny_onnx)
    made = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Neg", ["conv0"], ["inner"])], "branch", [], [made])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.insert(1, helper.make_node("If", ["yes"], ["chosen"], then_branch=branch, else_branch=branch))
    spec, source = read_input_spec(tiny_onnx, Normalisation()), unit({"chosen": 6})

    found = TapGraph(model.SerializeToString(), spec, source, threads=1).moments(planes())["chosen"]

    plain = TapGraph(tiny_onnx, spec, unit({"conv0": 6}), threads=1).moments(planes())["conv0"]
    np.testing.assert_allclose(found.first, -plain.first, atol=1e-6)


@pytest.mark.parametrize(
    ("channels", "scores", "words"),
    [({"conv9": 6}, None, "conv9"), ({"conv0": 6}, "image", "no output 'image'"), ({}, None, "computes nothing")],
    ids=["unknown tap", "unknown output", "nothing"],
)
def test_what_is_not_there_is_refused_by_name(channels, scores, words, tiny_onnx) -> None:
    with pytest.raises(TapGraphError, match=words):
        tap_model(tiny_onnx, unit(channels), scores=scores)


def test_a_tap_with_another_number_of_channels_fails_in_words(tiny_onnx) -> None:
    spec = read_input_spec(tiny_onnx, Normalisation())

    with pytest.raises(TapGraphError, match=r"tap graph"):
        TapGraph(tiny_onnx, spec, unit({"conv0": 7}), threads=1).moments(planes())
