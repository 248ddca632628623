"""Every entry of the operator table against onnxruntime, and its gradient against finite differences."""

import frozen_cases_elements
import frozen_cases_shape
import frozen_cases_windows
import numpy as np
import pytest
import torch
from frozen_case import Case, Row, newest_and_first_rows
from frozen_models import runtime_outputs

from trainer.frozen import load_frozen
from trainer.frozen.graph import read_graph
from trainer.frozen.module import FrozenModel
from trainer.frozen.operators import entries

CASES = [*frozen_cases_windows.CASES, *frozen_cases_elements.CASES, *frozen_cases_shape.CASES]
ROWS: list[Row] = [(case, version) for case in CASES for version in case.at_versions()]
# Versions mostly share one kernel: each row at its newest version, and each version once, is every gradient there is.
SMOOTH_ROWS = newest_and_first_rows([(case, version) for case, version in ROWS if case.smooth])


def _name(value: Case | int) -> str:
    return str(value) if isinstance(value, int) else f"{value.operator}-{value.name}"


@pytest.mark.parametrize(("case", "version"), ROWS, ids=_name)
def test_operator_agrees_with_onnxruntime(case: Case, version: int) -> None:
    model_bytes, x = case.model(version), case.x()
    expected = runtime_outputs(model_bytes, x)[0]

    got = load_frozen(model_bytes, parity_inputs=x)(torch.from_numpy(x)).numpy()

    assert got.dtype == expected.dtype
    # float32 sums of at most a few dozen numbers of size 1, in any order.
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("case", "version"), SMOOTH_ROWS, ids=_name)
def test_gradient_agrees_with_finite_differences(case: Case, version: int) -> None:
    model = FrozenModel(read_graph(case.model(version))).double()
    x = torch.from_numpy(case.x()).double().requires_grad_()

    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


def test_every_table_entry_has_a_case() -> None:
    tested = {("", case.operator, version) for case, version in ROWS}

    assert tested == set(entries())


def test_no_two_cases_share_a_name() -> None:
    names = [(case.operator, case.name, version) for case, version in ROWS]

    assert len(set(names)) == len(names)
