"""What is refused, and with which words: a reader must learn what is wrong, where, and what to do."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from frozen_models import build_model, residual_model, to_bytes
from onnx import TensorProto, helper, numpy_helper

from trainer.frozen import (
    FrozenError,
    InputMismatch,
    ParityError,
    UnknownTap,
    UnsupportedModel,
    UnsupportedOperator,
    batchnorm_statistics,
    load_frozen,
)


def _node_model(operator: str, *more_inputs: str, outputs: tuple[str, ...] = ("y",), **attributes: Any) -> bytes:
    node = helper.make_node(operator, ["x", *more_inputs], list(outputs), name="suspect", **attributes)
    weights = {name: np.ones(3, np.float32) for name in more_inputs}
    return to_bytes(build_model([node], shape=("n", 3, 4, 4), initializers=weights, outputs=outputs))


def _changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = residual_model()
    change(model)
    return to_bytes(model)


def _move_weight_outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def _hide_external_constant(model: onnx.ModelProto) -> None:
    value = numpy_helper.from_array(np.ones(2, np.float32), "hidden")
    value.data_location = TensorProto.EXTERNAL
    value.external_data.add(key="location", value="hidden.bin")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["unused"], value=value))


def _cut_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]


def _add_sparse(model: onnx.ModelProto) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), "thin")
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(np.zeros(1, np.int64), "at"), [4])
    )


def _store_as_bfloat16(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("half", TensorProto.BFLOAT16, [2], [1.0, 2.0]))


REFUSED_MODELS = {
    "no-onnx": (b"\xff\xff\xff", "are no ONNX model"),
    "empty": (b"", "hold no graph"),
    "external-weight": (_changed(_move_weight_outside), "'w1' keeps its data outside the file"),
    "external-constant": (_changed(_hide_external_constant), "'hidden' keeps its data outside the file"),
    "damaged-weight": (_changed(_cut_weight), "'w1' .* cannot be decoded"),
    "sparse-weight": (_changed(_add_sparse), "'thin' is sparse"),
    "type-without-torch": (_changed(_store_as_bfloat16), "'half' .* has type bfloat16"),
    "two-inputs": (
        _changed(lambda m: m.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))),
        r"2 inputs \('x', 'mask'\)",
    ),
    "no-input": (_changed(lambda m: m.graph.ClearField("input")), r"0 inputs \(\)"),
    "integer-input": (
        to_bytes(
            build_model(
                [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)], shape=[1], input_type=TensorProto.INT64
            )
        ),
        "'x' has type INT64",
    ),
    "opset-of-tomorrow": (
        _changed(lambda m: setattr(m.opset_import[0], "version", 999)),
        "uses opset 999, the installed onnx",
    ),
    "surplus-input": (
        _changed(lambda m: m.graph.node[2].input.append("w1")),
        "'relu1' .* has 2 inputs, allowed 1 to 1",
    ),
    "no-output": (_changed(lambda m: m.graph.node[2].ClearField("output")), "has 0 outputs, allowed 1 to 1"),
    "failing-constant": (
        _changed(lambda m: m.graph.node.insert(0, helper.make_node("MatMul", ["w1", "wf"], ["unused"], name="bad"))),
        "'bad' .* fails on its stored inputs",
    ),
    "missing-tensor": (_changed(lambda m: m.graph.node.pop(3)), r"'bias2' .* waits for \['c2'\]"),
    "missing-output": (_changed(lambda m: m.graph.node.pop()), r"outputs \['y'\] are made by no node"),
    "tensor-made-twice": (_changed(lambda m: m.graph.node.append(m.graph.node[0])), "'c1' is made more than once"),
    "input-too-open": (
        to_bytes(build_model([helper.make_node("Relu", ["x"], ["y"])], shape=("n", 3, "h", "w"))),
        "give parity_inputs",
    ),
    "refused-by-onnxruntime": (
        to_bytes(
            build_model(
                [helper.make_node("Reshape", ["x", "s"], ["y"])], shape=(2, 2), initializers={"s": np.array([3])}
            )
        ),
        "onnxruntime .* does not run",
    ),
}


@pytest.mark.parametrize(("model_bytes", "words"), REFUSED_MODELS.values(), ids=REFUSED_MODELS.keys())
def test_unreadable_file_is_refused_by_name(model_bytes: bytes, words: str) -> None:
    with pytest.raises(UnsupportedModel, match=words):
        load_frozen(model_bytes)


REFUSED_NODES = {
    "unknown-operator": (_node_model("Det"), r"'suspect' \(Det, since version 11, opset 17\).*known.*Det: none"),
    "foreign-domain": (_node_model("Gelu", domain="com.microsoft"), "com.microsoft::Gelu"),
    "invented-operator": (_node_model("Sharpen"), r"Sharpen, since version None"),
    "training-batchnorm": (
        _node_model("BatchNormalization", "a", "b", "c", "d", training_mode=1),
        "training_mode is 1, allowed 0",
    ),
    "second-output": (
        _node_model("MaxPool", outputs=("y", "where"), kernel_shape=[2, 2]),
        r"outputs \['where'\] are not computed",
    ),
    "attribute-of-wrong-kind": (_node_model("LeakyRelu", alpha="steep"), "attribute 'alpha' is 'steep'"),
    "unknown-padding": (_node_model("MaxPool", kernel_shape=[2, 2], auto_pad="ROUND"), "auto_pad is 'ROUND'"),
    "no-kernel-shape": (_node_model("AveragePool"), "kernel_shape is None"),
    "pads-of-another-rank": (_node_model("MaxPool", kernel_shape=[2, 2], pads=[1, 1]), "do not fit together"),
    "cast-to-text": (_node_model("Cast", to=TensorProto.STRING), "casts to data type 8"),
    "text-constant": (
        to_bytes(build_model([helper.make_node("Constant", [], ["y"], value_string="a")], shape=(1,))),
        r"attributes \['value_string'\]",
    ),
}


@pytest.mark.parametrize(("model_bytes", "words"), REFUSED_NODES.values(), ids=REFUSED_NODES.keys())
def test_node_that_is_not_computed_is_refused_by_name(model_bytes: bytes, words: str) -> None:
    with pytest.raises(UnsupportedOperator, match=words):
        load_frozen(model_bytes)


def test_version_outside_the_table_is_refused_with_the_known_ones() -> None:
    stored = ["scale", "bias", "mean", "var"]
    nodes = [helper.make_node("BatchNormalization", ["x", *stored], ["y"])]
    weights = {name: np.ones(3, np.float32) for name in stored}
    model_bytes = to_bytes(build_model(nodes, shape=("n", 3, 4, 4), initializers=weights, opset=6))

    with pytest.raises(UnsupportedOperator, match=r"BatchNormalization, since version 6.*\[7, 9, 14, 15\]"):
        load_frozen(model_bytes)


def test_dropout_in_training_is_refused() -> None:
    nodes = [helper.make_node("Dropout", ["x", "", "on"], ["y"], name="suspect")]
    model = build_model(nodes, shape=(2, 2), initializers={"on": np.array(True)})

    with pytest.raises(UnsupportedOperator, match="training_mode is true"):
        load_frozen(to_bytes(model))


@pytest.mark.parametrize("seed", range(5))
def test_damaged_file_is_read_or_refused_and_nothing_else(seed: int) -> None:
    whole, rng = to_bytes(residual_model()), np.random.default_rng(seed)
    for _ in range(100):
        damaged = bytearray(whole)
        # The nodes lie in the first kilobyte, the weights behind them.
        for position in rng.integers(1000, size=3):
            damaged[position] = rng.integers(256)
        with contextlib.suppress(FrozenError):
            batchnorm_statistics(bytes(damaged))


def test_every_error_is_a_frozen_error() -> None:
    assert all(
        issubclass(kind, FrozenError)
        for kind in (InputMismatch, ParityError, UnknownTap, UnsupportedModel, UnsupportedOperator)
    )
