"""One row of the operator tables: a single node with varied attributes, at one or several versions of its schema."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from frozen_models import build_model, to_bytes
from onnx import helper

from trainer.frozen.operators import entries

X = "x"
LEFT_OUT = ""
OLDEST_OPSET = 7
OPSET_BESIDE_A_DOMAIN = 17
"""The standard operators' opset in models of one node from another domain."""


@dataclass(frozen=True)
class Case:
    """A node of `operator`; `inputs` are X, arrays (which become initializers) and LEFT_OUT, in the node's order.

    `versions` are the since-versions where the row makes sense, all of the table's by default; an operator outside the
    standard `domain` has its domain's opset for a version. The input is drawn evenly from `bounds`. The first `outputs`
    outputs are compared. Rows that are not `smooth` have no gradient to check, those that do not `map` no meaning under
    torch.vmap.
    """

    operator: str
    name: str
    shape: tuple[int, ...]
    inputs: tuple[str | np.ndarray, ...] = (X,)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    versions: tuple[int, ...] | None = None
    bounds: tuple[float, float] = (-2.0, 2.0)
    smooth: bool = True
    maps: bool = True
    outputs: int = 1
    domain: str = ""

    def at_versions(self) -> tuple[int, ...]:
        """The since-versions that this row covers."""
        known = tuple(version for *key, version in entries() if key == [self.domain, self.operator])
        return known if self.versions is None else self.versions

    def x(self) -> np.ndarray:
        """The input, the same at every call."""
        return np.random.default_rng(7).uniform(*self.bounds, self.shape).astype(np.float32)

    def model(self, version: int) -> bytes:
        """The single-node model at the lowest opset, from 7 on, that has this since-version."""
        names = [value if isinstance(value, str) else f"c{i}" for i, value in enumerate(self.inputs)]
        arrays = {f"c{i}": value for i, value in enumerate(self.inputs) if isinstance(value, np.ndarray)}
        outputs = ["y", *(f"y{i}" for i in range(1, self.outputs))]
        node = helper.make_node(self.operator, names, outputs, name="node", domain=self.domain, **self.attributes)
        opset = OPSET_BESIDE_A_DOMAIN if self.domain else self._opset(version)
        model = build_model([node], shape=self.shape, outputs=outputs, initializers=arrays, opset=opset)
        if self.domain:
            model.opset_import.append(helper.make_opsetid(self.domain, version))
        return to_bytes(model)

    def _opset(self, version: int) -> int:
        opset = max(version, OLDEST_OPSET)
        resolved = onnx.defs.get_schema(self.operator, max_inclusive_version=opset, domain="").since_version
        assert resolved == version, f"{self.operator} has no since-version {version} that opset {opset} uses"
        return opset


def normal(*sizes: int, seed: int = 3) -> np.ndarray:
    """Standard normal float32 numbers."""
    return np.random.default_rng(seed).standard_normal(sizes).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    """A vector of int64."""
    return np.array(values, dtype=np.int64)


def scalar(value: float) -> np.ndarray:
    """A float32 tensor of rank 0."""
    return np.array(value, dtype=np.float32)


def read_as(stored: np.dtype) -> set[np.dtype]:
    """The types that the reading may have for a tensor of the file: half precision may be computed in single."""
    return {stored, np.dtype(np.float32)} if stored == np.float16 else {stored}


Row = tuple[Case, int]
"""A case and one since-version."""


def newest_and_first_rows(rows: list[Row]) -> list[Row]:
    """Each case at its newest version, and for each operator and version the first case that covers it."""
    firsts: dict[tuple[str, str, int], Case] = {}
    for case, version in rows:
        firsts.setdefault((case.domain, case.operator, version), case)
    return [
        (case, version)
        for case, version in rows
        if version == case.at_versions()[-1] or firsts[case.domain, case.operator, version] is case
    ]
