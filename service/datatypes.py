"""Element types: the Open Inference Protocol's names for numpy's, and numbers from JSON in one of them."""

from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

DATATYPES = {
    "float32": "FP32",
    "float16": "FP16",
    "float64": "FP64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "bool": "BOOL",
}
"""By numpy's name; every type that an output of a frozen model may have."""


def read_numbers(data: Any, dtype: str) -> NDArray[Any]:
    """Numbers from JSON, flat or nested evenly, as `dtype`; what is too large for a floating type becomes infinite.

    Raises:
        ValueError, TypeError: not numbers, or numbers that an integer type cannot hold.
    """
    # Each one by itself: numpy reads text as numbers, and takes the truth for 1 among them.
    flat = data
    while isinstance(flat, list) and flat and isinstance(flat[0], list):
        flat = list(chain.from_iterable(flat))
    kinds = set(map(type, flat if isinstance(flat, list) else [flat]))
    if not kinds <= {int, float}:
        raise TypeError(f"{dtype} is given as numbers, not as {', '.join(sorted(kind.__name__ for kind in kinds))}")
    if np.dtype(dtype).kind == "f":
        with np.errstate(over="ignore"):
            return np.asarray(data, dtype=dtype)
    values = np.asarray(data)
    limits = np.iinfo(dtype)
    whole = values.dtype.kind in "iu" and limits.min <= values.min(initial=0) and values.max(initial=0) <= limits.max
    if values.size and not whole:
        raise ValueError(f"{dtype} holds whole numbers from {limits.min} to {limits.max}")
    return values.astype(dtype)
