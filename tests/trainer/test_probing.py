"""What would fail later in a fit or before a client is refused when the model is registered."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.interface_variants import fixed_rows
from trainer.datasets import Dataset
from trainer.frozen import find_taps, load_frozen
from trainer.interface import Normalisation, RegistrationError, read_input_spec
from trainer.probing import are_probabilities, find_scores, probe
from trainer.registration import register
from trainer.studies.frozen_models.exporters import Export, export
from trainer.studies.zoo import ARCHITECTURES, build


def edited(content: bytes, edit: Callable[[onnx.ModelProto], None]) -> bytes:
    model = onnx.load_model_from_string(content)
    edit(model)
    return bytes(model.SerializeToString())


def registered(content: bytes):
    spec = read_input_spec(content, Normalisation())
    images = np.random.default_rng(0).random((130, *spec.shape), dtype=np.float32)
    return register(content, name="probed", spec=spec, source=Dataset(images, None), labels=None, card=None)


def behind(operator: str, **attributes: object) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node(operator, ["logits"], ["scores"], **attributes))
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info("scores", TensorProto.FLOAT, None))

    return edit


def in_front(*operators: onnx.NodeProto) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        model.graph.node[0].input[0] = operators[-1].output[0]
        for index, node in enumerate(operators):
            model.graph.node.insert(index, node)

    return edit


def test_scores_that_lose_their_axis_for_one_picture_are_refused(tiny_onnx: bytes) -> None:
    with pytest.raises(RegistrationError, match=r"\(3, 4\) for 3 rows and \(4,\) for one"):
        registered(edited(tiny_onnx, behind("Squeeze")))


def test_a_size_that_the_exporter_wrote_down_is_refused_where_the_file_leaves_it_open(tiny_onnx: bytes) -> None:
    def baked(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array([3, 4], np.int64), "sizes"))
        model.graph.node.append(helper.make_node("Reshape", ["logits", "sizes"], ["scores"]))
        model.graph.output[0].name = "scores"

    with pytest.raises(RegistrationError, match=r"does not run the model on float32\[1, 1, 8, 8\]"):
        registered(edited(tiny_onnx, baked))


def test_an_output_without_rows_is_served_beside_the_scores(tiny_onnx: bytes) -> None:
    def total(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node("ReduceMax", ["logits"], ["total"], keepdims=0))
        model.graph.output.append(helper.make_tensor_value_info("total", TensorProto.FLOAT, []))

    assert registered(edited(tiny_onnx, total)).manifest.output.name == "logits"


@pytest.mark.parametrize(
    "operators",
    [
        pytest.param([("Cast", {"to": TensorProto.INT32}), ("Cast", {"to": TensorProto.FLOAT})], id="whole numbers"),
        pytest.param([("Floor", {})], id="steps"),
    ],
)
def test_a_model_whose_pictures_get_no_gradient_is_refused_with_what_stops_it(tiny_onnx: bytes, operators) -> None:
    nodes = []
    for index, (operator, attributes) in enumerate(operators):
        source = "image" if index == 0 else f"step{index - 1}"
        nodes.append(helper.make_node(operator, [source], [f"step{index}"], **attributes))

    with pytest.raises(RegistrationError, match=rf"no gradient.*{operators[0][0]}"):
        registered(edited(tiny_onnx, in_front(*nodes)))


def test_taps_that_mix_the_rows_of_a_fixed_batch_are_dropped() -> None:
    architecture = "ViT, module attention"
    content = export(build(architecture), ARCHITECTURES[architecture].shape, Export("tracing", 17, "none"))
    spec = read_input_spec(content, Normalisation(bounds=(-4.0, 4.0)))
    example = np.random.default_rng(0).standard_normal((4, *spec.shape)).astype(np.float32)
    every = find_taps(content)

    probed = probe(content, spec, every, scores=find_scores(content, spec, None), example=example)

    frozen = load_frozen(content, taps=every)
    _, taps = frozen.forward_with_taps(torch.from_numpy(spec.to_tensor(example[: spec.batch])))
    assert list(probed.channels) == [name for name, value in taps.items() if len(value) == spec.batch]
    # The module's attention puts the tokens first.
    assert len(probed.channels) < len(every)


def test_scores_that_are_not_finite_are_refused(tiny_onnx: bytes) -> None:
    def damaged(model: onnx.ModelProto) -> None:
        (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "hb")
        bias.CopyFrom(numpy_helper.from_array(np.array([0, np.nan, 0, 0], np.float32), "hb"))

    with pytest.raises(RegistrationError, match=r"16 of 16 images are not finite.*--high"):
        registered(edited(tiny_onnx, damaged))


def test_one_row_of_a_fixed_batch_is_enough(tiny_onnx: bytes) -> None:
    assert registered(fixed_rows(1)(tiny_onnx)).manifest.input.batch == 1


def test_probabilities_of_many_rows_are_told_from_logits_that_look_like_them() -> None:
    rows = torch.full((16, 4), 0.25)
    rows[7] = torch.tensor([0.9, 0.05, 0.05, 0.2])

    assert are_probabilities(rows[:7])
    assert not are_probabilities(rows)
