"""onnx's own node cases, for every operator and version of the table, against the outputs that they come with.

onnx makes its cases on demand, at the newest opset; those newer than `NEWEST_OPSET`, beyond which onnxruntime does not
run models, are read at that one. A case with several inputs keeps the first floating one, the others become
initializers. What is not computed must be refused by name: no case is skipped in silence.
"""

import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from frozen_case import read_as
from frozen_models import to_bytes
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.test_case import TestCase as BackendCase

from trainer.frozen.errors import UnsupportedModel, UnsupportedOperator
from trainer.frozen.graph import read_graph
from trainer.frozen.module import FrozenModel
from trainer.frozen.operators import entries

OLDEST_OPSET, NEWEST_OPSET = 7, 25
FLOATING = (np.float32, np.float64, np.float16)

UNSIGNED = "add|sub|div|mod|max|min|less|greater"
REFUSED = {
    r"bf16|bfloat16|BFLOAT16": "numpy has no bfloat16",
    r"(?i)float8|e4m3fn|e5m2|float4|_u?int[24](_|$)": "numpy has no floats and integers of so few bits",
    rf"_({UNSIGNED})(_equal)?_uint(16|32|64)|bitwise_not_3d": "torch lacks wide unsigned integers here",
    r"string": "text is no number",
    r"training": "a frozen model is in inference mode",
    r"maxpool_with_argmax": "the places of the largest elements are not computed",
    r"spacetodepth_crd_mode_example$": "opset 28 brings this order",
    r"attention_.*(past|softcap|qk_matmul|nonpad|padded_kv)(?!.*expanded)": "attention has no cache and no soft cap",
    r"tf_crop_and_resize|antialias": "a part of the picture, or a smoothed one, is not resized",
}
"""Parts of the names of cases that ask for what is not computed, and why it is not."""

NOT_RUN = {
    r"split_to_sequence": "a sequence of tensors is no output of a frozen model",
    r"resize_downsample_scales_\w+_align_corners": "onnxruntime, which is right here, puts corners elsewhere than onnx",
}
"""Parts of the names of cases that say nothing about the reading, and why."""

QUANTIZED = r"quantizelinear|qlinear|convinteger|matmulinteger"
"""Parts of the names of cases with quantized numbers, which the reading holds as floats."""

FEWEST_COMPUTED, FEWEST_REFUSED = 1180, 268
"""As counted with onnx 1.23."""


def _backend_cases() -> list[BackendCase]:
    with warnings.catch_warnings():
        # Some cases divide by zero on purpose while they are made.
        warnings.simplefilter("ignore")
        from onnx.backend.test.case import node

        cases: list[BackendCase] = node.collect_testcases(None)
    return cases


def _readable(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy at an opset that onnxruntime runs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for opset in copy.opset_import:
        if not opset.domain:
            opset.version = min(max(opset.version, OLDEST_OPSET), NEWEST_OPSET)
    return copy


def _versions(model: onnx.ModelProto) -> Iterator[tuple[str, str, int]]:
    """(domain, operator, since-version) of each node; 0 where there is no schema."""
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    for node in model.graph.node:
        try:
            schema = onnx.defs.get_schema(node.op_type, opsets.get(node.domain, 0), node.domain)
        except onnx.defs.SchemaError:
            yield node.domain, node.op_type, 0
        else:
            yield node.domain, node.op_type, schema.since_version


def _tensor(value: Any) -> TensorProto:
    return value if isinstance(value, TensorProto) else numpy_helper.from_array(np.asarray(value))


def _single_input(case: BackendCase) -> tuple[bytes, np.ndarray]:
    """The case's model with one floating input, and what to feed it."""
    model, x = _readable(case.model), None
    for declared, value in zip(list(model.graph.input), case.data_sets[0][0], strict=True):
        if x is None and isinstance(value, (np.ndarray, np.generic)) and value.dtype in FLOATING:
            x = np.asarray(value)
            continue
        stored = model.graph.initializer.add()
        stored.CopyFrom(_tensor(value))
        stored.name = declared.name
    if x is None:
        model.graph.input.append(helper.make_tensor_value_info("unused", TensorProto.FLOAT, [1]))
        x = np.zeros(1, np.float32)
    return to_bytes(model), x


def _is_among(parts: Iterable[str], case: BackendCase) -> bool:
    return any(re.search(part, case.name) for part in parts)


KNOWN = set(entries())
ALL_CASES = _backend_cases()
CASES = [
    case for case in ALL_CASES if KNOWN.issuperset(_versions(_readable(case.model))) and not _is_among(NOT_RUN, case)
]
OUTSIDE = [case for case in CASES if _is_among(REFUSED, case)]
COMPUTED = [case for case in CASES if not _is_among(REFUSED, case)]


def _name(case: BackendCase) -> str:
    return str(case.name).removeprefix("test_")


@pytest.mark.parametrize("case", COMPUTED, ids=_name)
def test_backend_case_gives_the_outputs_it_comes_with(case: BackendCase) -> None:
    model_bytes, x = _single_input(case)
    quantized = re.search(QUANTIZED, case.name)
    expected = [numpy_helper.to_array(_tensor(value)) for value in case.data_sets[0][1]]

    with torch.no_grad():
        outputs, _ = FrozenModel(read_graph(model_bytes)).forward_with_taps(torch.from_numpy(x))

    for got, wanted in zip(outputs.values(), expected, strict=True):
        assert got.numpy().dtype in read_as(wanted.dtype) | ({np.dtype(np.float32)} if quantized else set())
        # Two roundings to the eleven bits of half precision are 1e-3.
        tolerance = max(case.rtol, 2e-3 if wanted.dtype == np.float16 else 0.0)
        np.testing.assert_allclose(got.numpy(), wanted, rtol=tolerance, atol=case.atol)


@pytest.mark.parametrize("case", OUTSIDE, ids=_name)
def test_backend_case_outside_of_what_is_computed_is_refused(case: BackendCase) -> None:
    model_bytes, x = _single_input(case)

    with pytest.raises((UnsupportedModel, UnsupportedOperator)):
        FrozenModel(read_graph(model_bytes)).forward_with_taps(torch.from_numpy(x))


def test_no_fewer_backend_cases_are_read_than_were_counted() -> None:
    assert len(COMPUTED) >= FEWEST_COMPUTED
    assert len(OUTSIDE) >= FEWEST_REFUSED


def test_every_reason_fits_a_case_of_onnx() -> None:
    unused = [part for part in (*REFUSED, *NOT_RUN) if not any(re.search(part, case.name) for case in ALL_CASES)]

    assert unused == []
