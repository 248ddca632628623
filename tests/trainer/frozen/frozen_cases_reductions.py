"""Rows for reductions, running sums and the places of extremes."""

from dataclasses import replace

import numpy as np
from frozen_case import Case, X, ints

CUBE = (2, 3, 4)

REDUCERS = {
    "ReduceSum": 13,
    **dict.fromkeys(("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSumSquare"), 18),
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp"), 18),
}
"""The since-version from which the axes are an input."""


def _reductions(name: str) -> list[Case]:
    first = REDUCERS[name]
    bounds = (0.5, 2.0) if name == "ReduceLogSum" else (-2.0, 2.0)
    table = Case(name, "", CUBE).at_versions()
    old, new = (tuple(v for v in table if v < first), tuple(v for v in table if v >= first))
    rows = [
        Case(name, "attribute", CUBE, attributes={"axes": [0, 2], "keepdims": 0}, versions=old),
        Case(name, "attribute-kept", CUBE, attributes={"axes": [1]}, versions=old),
        Case(name, "attribute-from-end", CUBE, attributes={"axes": [-1]}, versions=tuple(v for v in old if v >= 11)),
        Case(name, "all", CUBE, attributes={"keepdims": 0}),
        Case(name, "input", CUBE, (X, ints(-1, 0)), {"keepdims": 0}, versions=new),
        Case(name, "input-kept", CUBE, (X, ints(1)), versions=new),
        Case(name, "empty-axes", CUBE, (X, ints()), versions=new),
        Case(name, "empty-axes-idle", CUBE, (X, ints()), {"noop_with_empty_axes": 1}, versions=new),
    ]
    return [replace(row, bounds=bounds) for row in rows]


REDUCTIONS = [case for name in REDUCERS for case in _reductions(name)]

ZEROS_AMONG = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 2.0]], np.float32)
INTEGERS = ints(-7, 7, -3, 2).astype(np.int32)
OTHERS = [
    *(
        Case(name, "small-integers", CUBE, (INTEGERS,), smooth=False)
        for name in ("ReduceSum", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceMean")
    ),
    *(
        Case(name, "integers", CUBE, (INTEGERS,), versions=(12, 13, 18, 20), smooth=False)
        for name in ("ReduceMax", "ReduceMin")
    ),
    Case("ReduceProd", "zeros-among", (2, 3), (ZEROS_AMONG,), smooth=False),
]

EQUALS = np.array([[1, 3, 3], [2, 2, 1]], np.float32)
PLACES = [
    row
    for name in ("ArgMax", "ArgMin")
    for row in (
        Case(name, "default", CUBE, smooth=False),
        Case(name, "axis", CUBE, attributes={"axis": 2, "keepdims": 0}, smooth=False),
        Case(name, "axis-from-end", CUBE, attributes={"axis": -2}, versions=(11, 12, 13), smooth=False),
        Case(name, "first-of-equals", CUBE, (EQUALS,), {"axis": 1}, smooth=False),
        Case(name, "last-of-equals", CUBE, (EQUALS,), {"axis": 1, "select_last_index": 1}, (12, 13), smooth=False),
    )
]

RUNNING_SUMS = [
    Case(
        "CumSum",
        f"axis-{axis}{'-exclusive' * exclusive}{'-reverse' * reverse}",
        CUBE,
        (X, np.array(axis)),
        {"exclusive": exclusive, "reverse": reverse},
    )
    for axis in (1, -1)
    for exclusive in (0, 1)
    for reverse in (0, 1)
]

CASES = [*REDUCTIONS, *OTHERS, *PLACES, *RUNNING_SUMS]
