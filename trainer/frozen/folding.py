"""Compute once, when a model is loaded, what does not depend on its input.

Exporters write weights as initializers, as Constant nodes, or behind an Identity that several nodes share, and build
shapes from small integer graphs; after folding they are all the same: named constants.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from trainer.frozen import operators
from trainer.frozen.errors import UnsupportedModel
from trainer.frozen.graph import Graph
from trainer.frozen.node import Node


class Folded(NamedTuple):
    """A graph whose constant part is computed.

    Attributes:
        constants: by tensor name, on the CPU, with no gradient, half precision widened.
        nodes: those that depend on the graph's input, in topological order.
    """

    constants: dict[str, Tensor]
    nodes: tuple[Node, ...]


def fold(graph: Graph) -> Folded:
    """Split a graph into constants and the nodes that are left.

    Raises:
        UnsupportedOperator: a node of the constant part is not in the table; the others are not looked up here.
        UnsupportedModel: a node of the constant part cannot be computed.
    """
    constants = {name: operators.widened(torch.from_numpy(array)) for name, array in graph.initializers.items()}
    rest = []
    for node in graph.nodes:
        if not all(name in constants for name in node.inputs if name):
            rest.append(node)
            continue
        constants.update(_compute(node, operators.bind(node), [constants.get(name) for name in node.inputs]))
    return Folded(constants, tuple(rest))


def _compute(node: Node, kernel: operators.Kernel, inputs: list[Tensor | None]) -> dict[str, Tensor]:
    try:
        with torch.no_grad():
            return operators.run(node, kernel, inputs)
    except Exception as error:  # Whatever torch raises, it is the file that does not hold together.
        raise UnsupportedModel(f"{node.label} fails on its stored inputs: {error}; export the model again") from error
