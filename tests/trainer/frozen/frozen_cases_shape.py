"""Rows for views, joins, parts and padding."""

import numpy as np
from frozen_case import LEFT_OUT, Case, X, ints

CUBE = (2, 3, 4)
FOUR = (2, 3, 4, 5)

VIEWS = [
    Case("Flatten", "default", FOUR),
    *(Case("Flatten", f"axis-{axis}", FOUR, attributes={"axis": axis}) for axis in (0, 2, 4)),
    Case("Flatten", "axis-from-end", FOUR, attributes={"axis": -1}, versions=(11, 13, 21, 23, 24, 25)),
    Case("Reshape", "plain", CUBE, (X, ints(4, 6))),
    Case("Reshape", "worked-out", CUBE, (X, ints(-1, 4, 2))),
    Case("Reshape", "copied", CUBE, (X, ints(0, -1))),
    Case(
        "Reshape",
        "zero-is-zero",
        (2, 0, 3),
        (X, ints(0, 5)),
        {"allowzero": 1},
        (14, 19, 21, 23, 24, 25),
        smooth=False,
    ),
    Case("Transpose", "default", CUBE),
    Case("Transpose", "order", FOUR, attributes={"perm": [0, 2, 3, 1]}),
    Case("Squeeze", "all", (1, 3, 1, 2)),
    Case("Squeeze", "attribute", (1, 3, 1, 2), attributes={"axes": [2]}, versions=(1, 11)),
    Case("Squeeze", "attribute-from-end", (1, 3, 1, 2), attributes={"axes": [-2, 0]}, versions=(11,)),
    Case("Squeeze", "input", (1, 3, 1, 2), (X, ints(0, -2)), versions=(13, 21, 23, 24, 25)),
    Case("Unsqueeze", "attribute", CUBE, attributes={"axes": [3, 0]}, versions=(1, 11)),
    Case("Unsqueeze", "attribute-from-end", CUBE, attributes={"axes": [-1, 1]}, versions=(11,)),
    Case("Unsqueeze", "input", CUBE, (X, ints(4, -3, 0)), versions=(13, 21, 23, 24, 25)),
    Case("Expand", "sizes", (3, 1), (X, ints(2, 3, 4))),
    Case("Expand", "size-below", (2, 3, 4), (X, ints(3, 1))),
    Case("Shape", "all", FOUR, smooth=False),
    *(
        Case("Shape", name, FOUR, attributes=ends, versions=(15, 19, 21, 23, 24, 25), smooth=False)
        for name, ends in {
            "start": {"start": 1},
            "start-end": {"start": 1, "end": -1},
            "beyond": {"start": -2, "end": 9},
            "empty": {"start": 3, "end": 1},
        }.items()
    ),
]

JOINS_AND_PARTS = [
    Case("Concat", "first-axis", CUBE, (X, np.ones((1, 3, 4), np.float32), X), {"axis": 0}),
    Case("Concat", "last-axis", CUBE, (X, np.ones((2, 3, 1), np.float32)), {"axis": 2}),
    Case("Concat", "axis-from-end", CUBE, (X, X), {"axis": -2}, versions=(11, 13)),
    Case("Split", "halves", FOUR, attributes={"axis": 2}, versions=(2, 11, 13), outputs=2),
    Case("Split", "sizes", FOUR, attributes={"axis": 3, "split": [1, 3, 1]}, versions=(2, 11), outputs=3),
    Case("Split", "first-axis", FOUR, versions=(2, 11, 13), outputs=2),
    Case("Split", "axis-from-end", FOUR, attributes={"axis": -2}, versions=(11, 13), outputs=4),
    Case("Split", "sizes-from-input", FOUR, (X, ints(1, 3, 1)), {"axis": -1}, versions=(13, 18), outputs=3),
    Case("Split", "number", FOUR, attributes={"axis": 2, "num_outputs": 2}, versions=(18,), outputs=2),
    Case("Split", "smaller-last", FOUR, attributes={"axis": 3, "num_outputs": 3}, versions=(18,), outputs=3),
    Case("Tile", "along-two", CUBE, (X, ints(1, 2, 3))),
    Case("Tile", "nothing-left", CUBE, (X, ints(1, 0, 1)), smooth=False),
    Case("DepthToSpace", "default", (2, 12, 2, 3), attributes={"blocksize": 2}),
    Case("DepthToSpace", "depth-first", (2, 12, 2, 3), attributes={"blocksize": 2, "mode": "DCR"}, versions=(11, 13)),
    Case("DepthToSpace", "column-first", (2, 12, 2, 3), attributes={"blocksize": 2, "mode": "CRD"}, versions=(11, 13)),
    Case("SpaceToDepth", "blocks", (2, 3, 4, 6), attributes={"blocksize": 2}),
]

PADS = {
    "spatial": ints(0, 0, 1, 2, 0, 0, 3, 1),
    "all-axes": ints(1, 0, 1, 2, 0, 2, 0, 1),
    "none": ints(0, 0, 0, 0, 0, 0, 0, 0),
}
CROPS = ints(0, -1, 1, -2, 0, 0, -2, 1)
FROM_INPUTS = (11, 13, 18, 19, 21, 23, 24, 25)
WITH_AXES = (18, 19, 21, 23, 24, 25)
WITH_WRAP = (19, 21, 23, 24, 25)

PADDINGS = [
    *(
        Case("Pad", f"{mode}-{name}-attributes", FOUR, attributes={"mode": mode, "pads": pads.tolist()}, versions=(2,))
        for mode in ("constant", "reflect", "edge")
        for name, pads in PADS.items()
    ),
    *(
        Case("Pad", f"{mode}-{name}", FOUR, (X, pads), {"mode": mode}, versions=FROM_INPUTS)
        for mode in ("constant", "reflect", "edge")
        for name, pads in PADS.items()
    ),
    Case("Pad", "value-attribute", CUBE, attributes={"pads": [0, 1, 0, 1, 0, 0], "value": 1.5}, versions=(2,)),
    Case("Pad", "value", CUBE, (X, ints(0, 1, 0, 1, 0, 0), np.array(1.5, np.float32)), versions=FROM_INPUTS),
    Case("Pad", "crop", FOUR, (X, CROPS), versions=FROM_INPUTS),
    Case("Pad", "axes", FOUR, (X, ints(1, 2, 0, 1), LEFT_OUT, ints(-1, 2)), {"mode": "reflect"}, versions=WITH_AXES),
    Case("Pad", "wrap", FOUR, (X, PADS["spatial"]), {"mode": "wrap"}, versions=WITH_WRAP),
]

CASES = [*VIEWS, *JOINS_AND_PARTS, *PADDINGS]
