"""What loading would say of a file, all of it: where `load_frozen` stops at the first refusal, a survey collects.

Nothing here decides whether a file is good enough, and nothing that leaves this file is fitted against.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
import onnx.defs
import onnx.helper

from trainer.frozen import operators
from trainer.frozen.errors import FrozenError, ParityError
from trainer.frozen.graph import Graph, read_graph
from trainer.frozen.loading import MEAN_TOLERANCE
from trainer.frozen.module import FrozenModel
from trainer.frozen.node import Node
from trainer.frozen.nodewise import check_nodewise, rounds
from trainer.frozen.operators.quantization import STRAIGHT_THROUGH
from trainer.frozen.parity import differences, mean_error, relative_error, tolerance_of

Gradient = Literal["exact", "straight-through", "none"]
REAL = "tensor(float)"


@dataclass(frozen=True)
class Refusal:
    """One node that cannot be computed, and why; the reason says what to do."""

    node: str
    operator: str
    reason: str


@dataclass(frozen=True)
class OperatorUse:
    """One operator of a file, in one version.

    Attributes:
        operator: its domain in front, unless that is the standard one.
        version: since-version of its schema; None where no schema is known.
        nodes: how many there are. refused: how many of them cannot be computed.
        gradient: what passes through: the derivative, or the straight-through convention; none where a node is refused,
            and where what it makes is no function of the pictures or counts and compares, as shapes and masks do.
    """

    operator: str
    version: int | None
    nodes: int
    refused: int
    gradient: Gradient


@dataclass(frozen=True)
class OperatorSurvey:
    """Every operator of a file, by name and version, and every refusal, in topological order."""

    uses: tuple[OperatorUse, ...]
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, eq=False)
class Comparison:
    """A reading, and how far each tensor is from onnxruntime's, whether that is allowed or not.

    Attributes:
        errors: by name, relative to the tensor's largest value; infinite where shapes or types differ.
        tolerance: what `load_frozen` would allow.
        rounds: whether the file rounds: errors are root mean squares then, largest differences otherwise.
        nodewise: the first node of a file that rounds which is not held to be right, in words; see `nodewise`.
    """

    model: FrozenModel
    errors: dict[str, float]
    tolerance: float
    rounds: bool
    nodewise: str | None


def survey_operators(model_bytes: bytes) -> OperatorSurvey:
    """Bind every node of a file and note what is refused.

    Raises:
        UnsupportedModel: see `read_graph`.
    """
    graph = read_graph(model_bytes)
    refusals = {node: reason for node in graph.nodes if (reason := _refusal_of(node)) is not None}
    carriers = _carriers(graph)
    groups: dict[tuple[str, int], list[Node]] = defaultdict(list)
    for node in graph.nodes:
        groups[_name(node), node.version or 0].append(node)
    uses = (
        OperatorUse(
            operator=name,
            version=version or None,
            nodes=len(nodes),
            refused=len(refusals.keys() & set(nodes)),
            gradient="none" if refusals.keys() & set(nodes) else _gradient_of(nodes, carriers),
        )
        for (name, version), nodes in sorted(groups.items())
    )
    return OperatorSurvey(tuple(uses), tuple(Refusal(node.name, _name(node), text) for node, text in refusals.items()))


def survey_parity(model_bytes: bytes, *, taps: Sequence[str], inputs: np.ndarray) -> Comparison:
    """Read a file and compare it with onnxruntime on one batch, however much they differ.

    Raises:
        FrozenError: as `load_frozen`, except that no difference is too large.
    """
    graph = read_graph(model_bytes)
    model, rounded = FrozenModel(graph, taps), rounds(graph)
    found = differences(model, model_bytes, inputs, mean_error if rounded else relative_error)
    return Comparison(
        model=model,
        errors={name: difference.error for name, difference in found.items()},
        tolerance=MEAN_TOLERANCE if rounded else tolerance_of(graph),
        rounds=rounded,
        nodewise=_nodewise(graph, model_bytes, inputs) if rounded else None,
    )


def _nodewise(graph: Graph, model_bytes: bytes, inputs: np.ndarray) -> str | None:
    try:
        check_nodewise(graph, model_bytes, inputs, tolerance_of(graph))
    except ParityError as error:
        return str(error)
    return None


def _refusal_of(node: Node) -> str | None:
    try:
        operators.bind(node)
    except FrozenError as error:
        # The same reason may hold for many nodes: who prints it says it once.
        return str(error).removeprefix(f"{node.label}: ")
    return None


def _name(node: Node) -> str:
    return f"{node.domain}::{node.operator}" if node.domain else node.operator


def _gradient_of(nodes: Sequence[Node], carriers: set[Node]) -> Gradient:
    if not carriers.intersection(nodes):
        return "none"
    return "straight-through" if _is_straight_through(nodes[0]) else "exact"


def _is_straight_through(node: Node) -> bool:
    return (node.domain, node.operator) in STRAIGHT_THROUGH


def _carriers(graph: Graph) -> set[Node]:
    """The nodes that a gradient passes on its way to the graph's input, told by types and not by values."""
    tensors, nodes = {graph.input_name}, set()
    for node in graph.nodes:
        passed = [name for index, name in enumerate(node.outputs) if name and _passes(node, index)]
        if passed and tensors.intersection(node.inputs):
            tensors.update(passed)
            nodes.add(node)
    return nodes


def _passes(node: Node, output: int) -> bool:
    """Whether an output is a number that can change a little, or stands for one."""
    if _is_straight_through(node) or not onnx.defs.has(node.operator, node.domain):
        return True
    if node.operator == "Cast":
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(node.integer("to", 0))).kind == "f"
    schema = onnx.defs.get_schema(node.operator, max_inclusive_version=node.opset, domain=node.domain)
    made = schema.outputs[min(output, len(schema.outputs) - 1)].types
    # Arithmetic on quanta takes and makes integers only; the gradient passes it as it passes their real values.
    on_quanta = bool(schema.inputs) and REAL not in schema.inputs[0].types
    return REAL in made or on_quanta
