"""Slices, gathers, scatters and paddings at drawn places: what onnxruntime accepts, this reading computes the same."""

import numpy as np
import torch
from frozen_case import normal
from frozen_models import build_model, runtime_outputs, to_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from trainer.frozen.graph import read_graph
from trainer.frozen.module import FrozenModel

SHAPE = (3, 4, 5)
DRAWN = settings(max_examples=60, deadline=None, derandomize=True)


def _check(operator: str, arrays: dict[str, np.ndarray], **attributes: int | str) -> None:
    node = helper.make_node(operator, ["x", *arrays], ["y"], **attributes)
    model = to_bytes(build_model([node], shape=SHAPE, initializers=arrays, opset=18))
    x = normal(*SHAPE, seed=4)

    got = FrozenModel(read_graph(model))(torch.from_numpy(x)).numpy()

    np.testing.assert_allclose(got, runtime_outputs(model, x)[0], rtol=1e-6)


def _vector(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@st.composite
def indices(draw: st.DrawFn, *sizes: int, below: int) -> np.ndarray:
    """Places of an axis of size `below`, from the front or from the end."""
    count = int(np.prod(sizes))
    values = draw(st.lists(st.integers(-below, below - 1), min_size=count, max_size=count))
    return np.array(values, dtype=np.int64).reshape(sizes)


CORNERS = st.integers(-8, 8) | st.sampled_from([2**62, -(2**62)])
STEPS = st.integers(-3, 3).filter(bool)


@DRAWN
@given(st.lists(st.tuples(st.integers(-3, 2), CORNERS, CORNERS, STEPS), min_size=1, unique_by=lambda cut: cut[0] % 3))
def test_any_slice_agrees_with_onnxruntime(cuts: list[tuple[int, int, int, int]]) -> None:
    axes, starts, ends, steps = (_vector(list(column)) for column in zip(*cuts, strict=True))

    _check("Slice", {"starts": starts, "ends": ends, "axes": axes, "steps": steps})


@DRAWN
@given(st.lists(st.integers(-1, 3), min_size=6, max_size=6), st.sampled_from(["constant", "edge"]))
def test_any_padding_agrees_with_onnxruntime(pads: list[int], mode: str) -> None:
    _check("Pad", {"pads": _vector(pads)}, mode=mode)


@DRAWN
@given(st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_any_reflection_agrees_with_onnxruntime(pads: list[int]) -> None:
    _check("Pad", {"pads": _vector(pads)}, mode="reflect")


@DRAWN
@given(st.data(), st.integers(-3, 2))
def test_any_gather_agrees_with_onnxruntime(data: st.DataObject, axis: int) -> None:
    size = SHAPE[axis]

    _check("Gather", {"i": data.draw(indices(2, 3, below=size))}, axis=axis)
    _check("GatherElements", {"i": data.draw(indices(2, 3, 4, below=size))}, axis=axis)


@DRAWN
@given(st.data(), st.integers(1, 3))
def test_any_gather_at_tuples_agrees_with_onnxruntime(data: st.DataObject, depth: int) -> None:
    columns = [data.draw(indices(4, below=size)) for size in SHAPE[:depth]]

    _check("GatherND", {"i": np.stack(columns, axis=-1)})


@DRAWN
@given(st.data(), st.integers(-3, 2), st.sampled_from(["add", "mul", "max", "min"]))
def test_any_reducing_scatter_agrees_with_onnxruntime(data: st.DataObject, axis: int, reduction: str) -> None:
    places, updates = data.draw(indices(2, 3, 4, below=SHAPE[axis])), normal(2, 3, 4)

    _check("ScatterElements", {"i": places, "u": updates}, axis=axis, reduction=reduction)


@DRAWN
@given(st.data(), st.integers(1, 3), st.sampled_from(["add", "mul", "max", "min"]))
def test_any_scatter_at_tuples_agrees_with_onnxruntime(data: st.DataObject, depth: int, reduction: str) -> None:
    columns = [data.draw(indices(4, below=size)) for size in SHAPE[:depth]]
    updates = normal(4, *SHAPE[depth:])

    _check("ScatterND", {"i": np.stack(columns, axis=-1), "u": updates}, reduction=reduction)
