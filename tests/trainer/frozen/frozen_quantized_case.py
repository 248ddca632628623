"""A row for an operator that reads or makes integers: its node between a QuantizeLinear and Casts to float32."""

from dataclasses import dataclass

import numpy as np
import onnx
from frozen_case import OPSET_BESIDE_A_DOMAIN, Case
from frozen_models import build_model, to_bytes
from onnx import TensorProto, helper

MICROSOFT = "com.microsoft"
Q = "q"
"""The case's input, quantized with the case's own scale and zero point."""


def real(*values: float) -> np.ndarray:
    """A float32 scale: of rank 0 if it is one number, else a vector."""
    return np.array(values[0] if len(values) == 1 else values, dtype=np.float32)


def whole(dtype: str, *values: int) -> np.ndarray:
    """An integer zero point: of rank 0 if it is one number, else a vector."""
    return np.array(values[0] if len(values) == 1 else values, dtype=dtype)


def drawn(dtype: str, *sizes: int, seed: int = 5) -> np.ndarray:
    """Integers of 8 bits; signed ones of 7, because onnxruntime's sums of more overflow on processors without VNNI."""
    low, high = (-64, 65) if dtype == "int8" else (0, 256)
    return np.random.default_rng(seed).integers(low, high, sizes).astype(dtype)


@dataclass(frozen=True)
class QuantizedCase(Case):
    """A node whose input Q is x in quanta of `scale` around `zero`, of type `kind`; every output is cast to float32."""

    scale: float = 0.02
    zero: int = 117
    kind: str = "uint8"
    smooth: bool = False

    def model(self, version: int) -> bytes:
        """The model at the lowest opset that has this since-version and QuantizeLinear."""
        names = [value if isinstance(value, str) else f"c{i}" for i, value in enumerate(self.inputs)]
        arrays = {f"c{i}": value for i, value in enumerate(self.inputs) if isinstance(value, np.ndarray)}
        made = [f"made{i}" for i in range(self.outputs)]
        outputs = ["y", *(f"y{i}" for i in range(1, self.outputs))]
        nodes = [helper.make_node(self.operator, names, made, name="node", domain=self.domain, **self.attributes)]
        if Q in names:
            nodes.insert(0, helper.make_node("QuantizeLinear", ["x", "x.scale", "x.zero"], [Q], name="head"))
            arrays |= {"x.scale": real(self.scale), "x.zero": whole(self.kind, self.zero)}
        nodes += [
            helper.make_node("Cast", [source], [target], to=TensorProto.FLOAT)
            for source, target in zip(made, outputs, strict=True)
        ]
        opset = OPSET_BESIDE_A_DOMAIN if self.domain else self._opset(version)
        model = build_model(nodes, shape=self.shape, outputs=outputs, initializers=arrays, opset=opset)
        if self.domain:
            model.opset_import.append(helper.make_opsetid(self.domain, version))
        return to_bytes(model)

    def _opset(self, version: int) -> int:
        resolved = onnx.defs.get_schema(self.operator, max_inclusive_version=version, domain="").since_version
        assert resolved == version, f"{self.operator} has no since-version {version}"
        return version
