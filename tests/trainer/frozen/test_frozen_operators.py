"""Every entry of the operator table against onnxruntime, and its gradient against finite differences.

The rows come from every module named frozen_cases_* beside this one; a new module is found by its name.
"""

import importlib
import pkgutil
from pathlib import Path

import numpy as np
import pytest
import torch
from frozen_case import Case, Row, newest_and_first_rows, read_as
from frozen_models import runtime_outputs
from torch import Tensor

from trainer.frozen import load_frozen
from trainer.frozen.graph import read_graph
from trainer.frozen.module import FrozenModel
from trainer.frozen.operators import entries

TABLES = sorted(
    module.name
    for module in pkgutil.iter_modules([str(Path(__file__).parent)])
    if module.name.startswith("frozen_cases_")
)
CASES: list[Case] = [case for table in TABLES for case in importlib.import_module(table).CASES]
ROWS: list[Row] = [(case, version) for case in CASES for version in case.at_versions()]
# Versions mostly share one kernel: each row at its newest version, and each version once, is every gradient there is.
SMOOTH_ROWS = newest_and_first_rows([(case, version) for case, version in ROWS if case.smooth])
# Models of a fixed batch size are run so.
MAPPED_ROWS = [(case, version) for case, version in SMOOTH_ROWS if case.maps and version == case.at_versions()[-1]]


def _name(value: Case | int) -> str:
    return str(value) if isinstance(value, int) else f"{value.operator}-{value.name}"


@pytest.mark.parametrize(("case", "version"), ROWS, ids=_name)
def test_operator_agrees_with_onnxruntime(case: Case, version: int) -> None:
    model_bytes, x = case.model(version), case.x()

    outputs, _ = load_frozen(model_bytes, parity_inputs=x).forward_with_taps(torch.from_numpy(x))

    for got, expected in zip(outputs.values(), runtime_outputs(model_bytes, x), strict=True):
        assert got.numpy().dtype in read_as(expected.dtype)
        # float32 sums of at most a few dozen numbers of size 1, in any order; half precision has eleven bits.
        tolerance = 1e-3 if expected.dtype == np.float16 else 1e-5
        np.testing.assert_allclose(got.numpy(), expected, rtol=tolerance, atol=1e-5)


@pytest.mark.parametrize(("case", "version"), SMOOTH_ROWS, ids=_name)
def test_gradient_agrees_with_finite_differences(case: Case, version: int) -> None:
    model = FrozenModel(read_graph(case.model(version))).double()
    x = torch.from_numpy(case.x()).double().requires_grad_()

    def differentiable(batch: Tensor) -> tuple[Tensor, ...]:
        outputs, _ = model.forward_with_taps(batch)
        return tuple(value for value in outputs.values() if value.is_floating_point())

    assert torch.autograd.gradcheck(differentiable, (x,), fast_mode=True)


@pytest.mark.parametrize(("case", "version"), MAPPED_ROWS, ids=_name)
def test_operator_maps_over_a_leading_dimension(case: Case, version: int) -> None:
    frozen = FrozenModel(read_graph(case.model(version)))
    batches = torch.from_numpy(np.stack([case.x(), case.x()[::-1] * 0.9]))

    def outputs(batch: Tensor) -> tuple[Tensor, ...]:
        return tuple(frozen.forward_with_taps(batch)[0].values())

    for mapped, *alone in zip(torch.vmap(outputs)(batches), *map(outputs, batches), strict=True):
        torch.testing.assert_close(mapped, torch.stack(alone), rtol=1e-5, atol=1e-5)


def test_every_table_entry_has_a_case() -> None:
    tested = {(case.domain, case.operator, version) for case, version in ROWS}

    assert tested == set(entries())


def test_no_two_cases_share_a_name() -> None:
    names = [(case.domain, case.operator, case.name, version) for case, version in ROWS]

    assert len(set(names)) == len(names)
