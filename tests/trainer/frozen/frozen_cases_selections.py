"""Rows for selections by ranges, places and truth values."""

import numpy as np
from frozen_case import LEFT_OUT, Case, X, ints, normal

CUBE = (2, 3, 4)
FOUR = (2, 3, 4, 5)
FAR = 2**62

SELECTIONS = [
    Case("Gather", "vector", CUBE, (X, ints(1, 0, 1))),
    Case("Gather", "scalar", CUBE, (X, np.array(2, np.int64)), {"axis": 1}),
    Case("Gather", "matrix", CUBE, (X, ints(0, 3, 2, 1).reshape(2, 2)), {"axis": 2}),
    Case("Gather", "from-end", CUBE, (X, ints(-1, 0)), {"axis": -1}, versions=(11, 13)),
    Case("Slice", "attributes", CUBE, (X,), {"starts": [1, 0], "ends": [9, -1], "axes": [1, 2]}, versions=(1,)),
    Case("Slice", "attributes-first-axes", CUBE, (X,), {"starts": [1, -2], "ends": [2, 3]}, versions=(1,)),
    Case("Slice", "inputs", CUBE, (X, ints(1, 0), ints(9, -1)), versions=(10, 11, 13)),
    Case("Slice", "steps", FOUR, (X, ints(1, 0), ints(FAR, 4), ints(3, 2), ints(2, 3)), versions=(10, 11, 13)),
    Case("Slice", "axes-from-end", FOUR, (X, ints(1), ints(3), ints(-1)), versions=(10, 11, 13)),
    Case("Slice", "backwards", FOUR, (X, ints(-1, 3), ints(-FAR, 0), ints(3, 2), ints(-1, -2)), versions=(10, 11, 13)),
    Case("Slice", "both-ways", FOUR, (X, ints(FAR, 1), ints(-FAR, 3), ints(1, 3), ints(-2, 1)), versions=(10, 11, 13)),
    Case("Slice", "backwards-from-before", CUBE, (X, ints(-9), ints(-FAR), ints(2), ints(-1)), versions=(10, 11, 13)),
    Case("Slice", "axes-left-out", CUBE, (X, ints(1, 2), ints(2, 0), LEFT_OUT, ints(1, -1)), versions=(10, 11, 13)),
    Case("Slice", "nothing-left", CUBE, (X, ints(2), ints(1), ints(1)), versions=(10, 11, 13), smooth=False),
]

PAIRS = ints(0, 1, 1, 2, -1, -3).reshape(3, 2)
GATHERS = [
    Case("GatherElements", "first-axis", (3, 4), (X, ints(2, 0, 1, -1, 0, 0, 1, 1).reshape(2, 4))),
    Case("GatherElements", "last-axis", (3, 4), (X, ints(3, 0, -2, 1, 1, 1).reshape(3, 2)), {"axis": -1}),
    Case("GatherElements", "fewer-rows", (3, 4), (X, ints(3, 0).reshape(1, 2)), {"axis": 1}),
    Case("GatherND", "elements", (2, 3), (X, PAIRS)),
    Case("GatherND", "slices", CUBE, (X, PAIRS)),
    Case("GatherND", "rows", CUBE, (X, ints(1, 0, 1).reshape(3, 1))),
    Case("GatherND", "batch", CUBE, (X, ints(1, -1).reshape(2, 1)), {"batch_dims": 1}, versions=(12, 13)),
    Case(
        "GatherND", "batch-of-two-axes", FOUR, (X, ints(*range(-3, 3)).reshape(2, 3, 1, 1)), {"batch_dims": 2}, (12, 13)
    ),
    Case("Compress", "axis", CUBE, (X, np.array([True, False, True])), {"axis": 1}),
    Case("Compress", "axis-from-end", CUBE, (X, np.array([False, True])), {"axis": -1}, versions=(11,)),
    Case("Compress", "elements", CUBE, (X, np.array([True, False, True, True]))),
    Case("NonZero", "matrix", CUBE, (np.array([[0, 1, 2], [3, 0, 0]], np.float32),), smooth=False),
    Case("NonZero", "truths", CUBE, (np.array([True, False, True]),), smooth=False),
]

REDUCING = {"add": (16, 18), "mul": (16, 18), "max": (18,), "min": (18,)}
"""Reductions and the since-versions that have them."""
PERMUTED = ints(1, 0, 2, 0, 2, 1).reshape(2, 3)
REPEATED = ints(1, 1, 2, 0, 1, 2).reshape(2, 3)
TWICE = ints(1, 2, 0, 0, 1, 2).reshape(3, 2)

SCATTERS = [
    *(Case(name, "first-axis", (3, 3), (X, PERMUTED, normal(2, 3))) for name in ("Scatter", "ScatterElements")),
    *(
        Case(name, "last-axis", (3, 4), (X, PERMUTED, normal(2, 3)), {"axis": 1})
        for name in ("Scatter", "ScatterElements")
    ),
    Case("ScatterElements", "from-end", (3, 3), (X, PERMUTED - 3, normal(2, 3)), {"axis": -1}),
    Case("ScatterElements", "updates-are-the-input", (2, 3), (normal(3, 3), PERMUTED, X)),
    *(
        Case("ScatterElements", reduction, (3, 3), (X, REPEATED, normal(2, 3)), {"reduction": reduction}, versions)
        for reduction, versions in REDUCING.items()
    ),
    Case("ScatterND", "elements", (2, 3), (X, PAIRS, normal(3))),
    Case("ScatterND", "slices", CUBE, (X, PAIRS, normal(3, 4))),
    Case("ScatterND", "rows", (3, 4), (X, ints(2, 0).reshape(2, 1), normal(2, 4))),
    Case("ScatterND", "updates-are-the-input", (3,), (normal(2, 3), PAIRS, X)),
    Case("ScatterND", "grid", (3, 4), (X, ints(0, 1, 2, 3, 1, 0, 2, -1).reshape(2, 2, 2), normal(2, 2))),
    *(
        Case("ScatterND", reduction, CUBE, (X, TWICE, normal(3, 4)), {"reduction": reduction}, versions)
        for reduction, versions in REDUCING.items()
    ),
]

EQUALS = np.array([3, 1, 3, 2, 1, 2], np.float32)
TOPS = [
    Case("TopK", "attribute", CUBE, attributes={"k": 2}, versions=(1,), outputs=2),
    Case("TopK", "attribute-axis", CUBE, attributes={"k": 3, "axis": 1}, versions=(1,), outputs=2),
    Case("TopK", "input", CUBE, (X, ints(2)), versions=(10, 11, 24), outputs=2),
    Case("TopK", "axis", CUBE, (X, ints(1)), {"axis": 1}, versions=(10, 11, 24), outputs=2),
    Case("TopK", "smallest", CUBE, (X, ints(3)), {"largest": 0}, versions=(11, 24), outputs=2),
    Case("TopK", "equals", CUBE, (EQUALS, ints(4)), versions=(10, 11, 24), smooth=False, outputs=2),
]

TRIANGLES = [
    Case("Trilu", "upper", CUBE),
    Case("Trilu", "lower", CUBE, attributes={"upper": 0}),
    Case("Trilu", "upper-shifted", CUBE, (X, np.array(1))),
    Case("Trilu", "lower-shifted", CUBE, (X, np.array(-1)), {"upper": 0}),
]

CASES = [*SELECTIONS, *GATHERS, *SCATTERS, *TOPS, *TRIANGLES]
