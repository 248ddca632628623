"""Rows for sequences: two nodes each, for a sequence is made by one node and taken apart by another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from frozen_case import Case, ints
from frozen_models import build_model, to_bytes
from onnx import helper

CUBE = (2, 6, 4)


@dataclass(frozen=True)
class Pair(Case):
    """A node `maker` of a sequence from X and arrays, and a node `reader` that gets it and arrays."""

    maker: str = "SplitToSequence"
    making: Mapping[str, Any] = field(default_factory=dict)
    reader: str = "SequenceAt"
    reading: Mapping[str, Any] = field(default_factory=dict)
    further: tuple[np.ndarray, ...] = ()

    def model(self, version: int) -> bytes:
        """The pair, at the version's own opset."""
        names = [value if isinstance(value, str) else f"c{i}" for i, value in enumerate(self.inputs)]
        arrays = {f"c{i}": value for i, value in enumerate(self.inputs) if isinstance(value, np.ndarray)}
        added = {f"d{i}": value for i, value in enumerate(self.further)}
        nodes = [
            helper.make_node(self.maker, names, ["parts"], **self.making),
            helper.make_node(self.reader, ["parts", *added], ["y"], **self.reading),
        ]
        return to_bytes(build_model(nodes, shape=self.shape, initializers=arrays | added, opset=version))


def _taken(name: str, inputs: tuple[str | np.ndarray, ...], position: int, **making: int) -> Pair:
    return Pair("SplitToSequence", name, CUBE, inputs, making=making, further=(np.array(position),))


SPLITS = [
    _taken("size", ("x", np.array(2)), 1, axis=1),
    _taken("size-from-end", ("x", np.array(3)), -1, axis=-2),
    _taken("sizes", ("x", ints(3, 3)), 1, axis=1),
    _taken("slices", ("x",), 4, axis=1),
    _taken("slices-from-end", ("x",), 2, axis=-1),
    _taken("slices-first-axis", ("x",), 1),
    _taken("slices-without-axis", ("x",), 4, axis=1, keepdims=0),
]
THIRDS = {"making": {"axis": 1}, "inputs": ("x", np.array(2)), "shape": CUBE}

READERS = [
    Pair("SequenceAt", "first", further=(np.array(0),), **THIRDS),
    Pair("SequenceLength", "thirds", reader="SequenceLength", smooth=False, **THIRDS),
    Pair("ConcatFromSequence", "back", reader="ConcatFromSequence", reading={"axis": 1}, **THIRDS),
    Pair("ConcatFromSequence", "turned", reader="ConcatFromSequence", reading={"axis": -1}, **THIRDS),
    Pair("ConcatFromSequence", "new", reader="ConcatFromSequence", reading={"axis": 2, "new_axis": 1}, **THIRDS),
    Pair("ConcatFromSequence", "new-last", reader="ConcatFromSequence", reading={"axis": -1, "new_axis": 1}, **THIRDS),
    Pair(
        "SequenceConstruct",
        "with-weights",
        CUBE,
        ("x", np.ones(CUBE, np.float32), "x"),
        maker="SequenceConstruct",
        reader="ConcatFromSequence",
        reading={"axis": 0, "new_axis": 1},
    ),
]

CASES: list[Case] = [*SPLITS, *READERS]
