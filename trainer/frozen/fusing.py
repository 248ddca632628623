"""Compute at once what exporters spell out: GELU from its error function, a linear layer as a product and a sum.

Torch has one kernel for each, which passes over memory once where the file's nodes pass up to five times; a transformer
without them takes twice the time of the network it was exported from. A group of nodes becomes one only if no tensor
inside it is read by anyone else or asked for by name. What a group means is not judged here twice: the parity check
compares the reading after this step.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel


class Fused(NamedTuple):
    """What is left to compute.

    Attributes:
        nodes: in topological order; a group stands where its last node stood.
        kernels: of the nodes that stand for groups.
    """

    nodes: tuple[Node, ...]
    kernels: dict[Node, Kernel]


def fuse(nodes: Sequence[Node], constants: Mapping[str, Tensor], keep: Collection[str]) -> Fused:
    """Replace every group that is known here.

    Args:
        nodes: in topological order.
        constants: stored tensors by name.
        keep: tensors that must still be made, because somebody may ask for them.
    """
    view = _View(nodes, constants, keep)
    groups = [group for node in nodes if not node.domain and (group := _known_group(node, view))]
    stand_ins = {group.nodes[-1]: group.stand_in() for group in groups}
    gone = {node for group in groups for node in group.nodes[:-1]}
    kernels = {stand_ins[group.nodes[-1]]: group.kernel for group in groups}
    return Fused(tuple(stand_ins.get(node, node) for node in nodes if node not in gone), kernels)


class _Group(NamedTuple):
    """Nodes that one kernel computes; the last makes the result."""

    nodes: tuple[Node, ...]
    operator: str
    inputs: tuple[str, ...]
    kernel: Kernel

    def stand_in(self) -> Node:
        """One node in the place of the last."""
        return replace(self.nodes[-1], operator=self.operator, inputs=self.inputs, attributes={})


class _View:
    """Who makes a tensor, and who alone reads it."""

    def __init__(self, nodes: Sequence[Node], constants: Mapping[str, Tensor], keep: Collection[str]) -> None:
        self.makers = {name: node for node in nodes for name in node.outputs}
        self.constants = constants
        self._reads = Counter(name for node in nodes for name in node.inputs)
        self._readers = {name: node for node in nodes for name in node.inputs}
        self._keep = set(keep)

    def private(self, tensor: str) -> bool:
        """Read once and not asked for."""
        return self._reads[tensor] == 1 and tensor not in self._keep

    def following(self, node: Node | None, operator: str) -> Node | None:
        """The only reader of a node's result, if it is of this kind."""
        if node is None or not self.private(node.outputs[0]):
            return None
        reader = self._readers[node.outputs[0]]
        return reader if reader.operator == operator and not reader.domain else None

    def preceding(self, tensor: str, operator: str) -> Node | None:
        """The maker of a tensor that nobody else reads, if it is of this kind."""
        maker = self.makers.get(tensor)
        return maker if maker and maker.operator == operator and not maker.domain and self.private(tensor) else None

    def is_number(self, tensor: str, value: float) -> bool:
        """A stored tensor of one element with this value, up to the rounding of float32."""
        stored = self.constants.get(tensor)
        return stored is not None and stored.numel() == 1 and math.isclose(stored.item(), value, rel_tol=1e-6)

    def factor(self, product: Node, number: float) -> str | None:
        """The other operand of a node of two, if one is this number."""
        return next((other(product, name) for name in product.inputs if self.is_number(name, number)), None)


def _known_group(node: Node, view: _View) -> _Group | None:
    if node.operator == "Erf":
        return _gelu(node, view)
    # The sum inside a GELU is none of a product and a bias: no two groups share a node.
    return _linear(node, view) if node.operator == "Add" else None


def other(node: Node, tensor: str) -> str:
    """The other operand of a node of two."""
    return node.inputs[1] if node.inputs[0] == tensor else node.inputs[0]


def _gelu(erf: Node, view: _View) -> _Group | None:
    """GELU of x: x * (1 + erf(x / sqrt(2))) / 2, its factors in any order."""
    scaling = view.preceding(erf.inputs[0], "Div") or view.preceding(erf.inputs[0], "Mul")
    shifted = view.following(erf, "Add")
    first = view.following(shifted, "Mul")
    if scaling is None or shifted is None or first is None or view.factor(shifted, 1.0) != erf.outputs[0]:
        return None
    x, start, operand = _scaled(scaling, view), (scaling, erf, shifted), other(first, shifted.outputs[0])
    halved = view.preceding(operand, "Mul")
    if halved is not None and x == view.factor(halved, 0.5):
        return _Group((halved, *start, first), "Gelu", (x,), functional.gelu) if x else None
    second = view.following(first, "Mul")
    if x is None or second is None:
        return None
    operands = (operand, other(second, first.outputs[0]))
    if any(one == x and view.is_number(half, 0.5) for one, half in (operands, operands[::-1])):
        return _Group((*start, first, second), "Gelu", (x,), functional.gelu)
    return None


def _scaled(scaling: Node, view: _View) -> str | None:
    """The x of x / sqrt(2), written as a quotient or as a product."""
    if scaling.operator == "Mul":
        return view.factor(scaling, math.sqrt(0.5))
    return scaling.inputs[0] if view.is_number(scaling.inputs[1], math.sqrt(2)) else None


def _linear(total: Node, view: _View) -> _Group | None:
    """A linear layer: x @ weight + bias, both stored, the bias one number per column."""
    for bias in total.inputs:
        product = view.preceding(other(total, bias), "MatMul")
        if product is None or bias not in view.constants or product.inputs[1] not in view.constants:
            continue
        weight = view.constants[product.inputs[1]]
        if weight.dim() == 2 and view.constants[bias].shape == weight.shape[1:]:
            return _Group((product, total), "Linear", (*product.inputs, bias), _apply_linear)
    return None


def _apply_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.linear(x, weight.t(), bias)
