"""The comparison with onnxruntime finds what it is there to find."""

import numpy as np
import pytest
import torch
from frozen_models import build_model, residual_model, to_bytes
from onnx import helper

from trainer.frozen import FrozenModel, ParityError, check_parity, load_frozen
from trainer.frozen.graph import read_graph
from trainer.frozen.parity import relative_error

INFINITE = float("inf")


def _picture() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)


def _corrupted(tensor: str, taps: tuple[str, ...] = ()) -> FrozenModel:
    graph = read_graph(to_bytes(residual_model()))
    graph.initializers[tensor].flat[0] += 1.0
    return FrozenModel(graph, taps)


def test_corrupted_weight_is_found_and_the_first_wrong_tensor_named() -> None:
    model = _corrupted("w2", taps=("h1", "c2", "s2"))

    with pytest.raises(ParityError, match="'c2' differs from onnxruntime") as caught:
        check_parity(model, to_bytes(residual_model()), _picture(), 1e-4)

    assert caught.value.tensor == "c2"
    assert caught.value.relative_error > 1e-3
    assert caught.value.tolerance == 1e-4


def test_corrupted_weight_is_found_without_taps() -> None:
    with pytest.raises(ParityError, match="'y' differs"):
        check_parity(_corrupted("n1.var"), to_bytes(residual_model()), _picture(), 1e-4)


def test_wide_tolerance_lets_a_small_difference_pass() -> None:
    check_parity(_corrupted("w2"), to_bytes(residual_model()), _picture(), 1e3)


def test_load_checks_at_the_given_tolerance() -> None:
    model_bytes = to_bytes(residual_model())

    with pytest.raises(ParityError, match="allowed -1"):
        load_frozen(model_bytes, tolerance=-1.0)


def test_other_shape_or_type_is_a_difference() -> None:
    relu = to_bytes(build_model([helper.make_node("Relu", ["x"], ["y"])], shape=("n", 2)))
    flat = to_bytes(build_model([helper.make_node("ReduceMax", ["x"], ["y"])], shape=("n", 2)))

    with pytest.raises(ParityError, match=r"float32\[3, 2\] against float32\[1, 1\]"):
        check_parity(load_frozen(relu), flat, np.ones((3, 2), np.float32), 1e-4)


ERRORS = {
    "equal": ([1.0, 2.0], [1.0, 2.0], 0.0),
    "largest-by-largest": ([1.0, 5.0], [2.0, 4.0], 0.25),
    "small-numbers": ([1e-7, 0.0], [0.0, 0.0], 0.1),
    "nan-here": ([float("nan"), 1.0], [1.0, 1.0], INFINITE),
    "nan-there": ([1.0, 1.0], [float("nan"), 1.0], INFINITE),
    "nan-in-both": ([float("nan"), 2.0], [float("nan"), 1.0], 1.0),
    "same-infinity": ([INFINITE, 2.0], [INFINITE, 1.0], 1.0),
    "other-infinity": ([INFINITE, 2.0], [-INFINITE, 2.0], INFINITE),
    "empty": ([], [], 0.0),
    "booleans": ([True, False], [True, True], 1.0),
}


@pytest.mark.parametrize(("got", "expected", "error"), ERRORS.values(), ids=ERRORS.keys())
def test_relative_error(got: list[float], expected: list[float], error: float) -> None:
    assert relative_error(np.array(got), np.array(expected)) == pytest.approx(error)


def test_default_batch_has_three_rows_and_a_fixed_one_is_kept() -> None:
    open_model = load_frozen(to_bytes(residual_model()))
    fixed = to_bytes(build_model([helper.make_node("Relu", ["x"], ["y"])], shape=(5, 2)))

    assert open_model.input_shape == (None, 3, 8, 8)
    assert load_frozen(fixed)(torch.zeros(5, 2)).shape == (5, 2)


def test_given_parity_inputs_serve_an_open_model() -> None:
    model_bytes = to_bytes(build_model([helper.make_node("Relu", ["x"], ["y"])], shape=("n", 3, "h", "w")))

    model = load_frozen(model_bytes, parity_inputs=_picture())

    assert model(torch.zeros(1, 3, 5, 7)).shape == (1, 3, 5, 7)
