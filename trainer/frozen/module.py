"""A frozen model as a torch module: differentiable in its input, constant in everything else, with named taps."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from trainer.frozen import operators
from trainer.frozen.errors import InputMismatch, UnknownTap
from trainer.frozen.folding import fold
from trainer.frozen.fusing import fuse
from trainer.frozen.graph import Graph, ancestors, last_uses
from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel
from trainer.frozen.sizes import size_nodes


class Step(NamedTuple):
    """One node to compute, and the tensors that nobody needs after it."""

    node: Node
    kernel: Kernel
    drops: tuple[str, ...]


class Plan(NamedTuple):
    """What to compute for some targets, and nothing else; `sizes` are results that inputs of one shape share."""

    steps: tuple[Step, ...]
    constants: tuple[str, ...]
    sizes: tuple[str, ...]


class Known(NamedTuple):
    """What remains for inputs of a shape that was seen before: the sizes are there."""

    plan: Plan
    sizes: dict[str, Tensor]


SHAPES_KEPT = 16
"""Shapes of inputs whose sizes are kept; a fit has a handful."""


class FrozenModel(nn.Module):
    """The differentiable reading of one ONNX graph; made by `load_frozen`, which also checks it.

    It is in inference mode for ever, has no parameters, and gives the gradient to its input only. Floating weights are
    buffers, so `.to(device)` and `.double()` work; integer ones hold shapes and indices and stay on the CPU. Where the
    file takes uint8 or float16, it takes floating tensors that hold such values, too: a gradient needs them.

    Attributes:
        input_name: name of the input tensor.
        input_shape: one entry per dimension, None where the file leaves it open; None if the rank is open.
        outputs: names of the graph's outputs, the primary one first.
        taps: names of the intermediate tensors that were asked for when loading.
    """

    def __init__(self, graph: Graph, taps: Sequence[str] = ()) -> None:
        """Bind every node to its kernel.

        Args:
            graph: see `read_graph`.
            taps: tensors that nodes of the graph make.

        Raises:
            UnsupportedOperator: a node is not in the operator table, or asks for what its entry does not compute.
            UnknownTap: no node makes the tensor.
        """
        super().__init__()
        kernels = {node: operators.bind(node) for node in graph.nodes}
        made = {name for node in graph.nodes for name in node.outputs if name}
        unknown = [name for name in taps if name not in made]
        if unknown:
            raise UnknownTap(f"taps {unknown} are made by no node of the graph; find_taps lists the default ones")
        self.input_name = graph.input_name
        self.input_shape = graph.input_shape
        self.outputs = graph.outputs
        self.taps = tuple(dict.fromkeys(taps))
        folded = fold(graph)
        fused = fuse(folded.nodes, folded.constants, keep={*self.outputs, *self.taps})
        self._nodes, self._kernels = fused.nodes, {**kernels, **fused.kernels}
        self._sizes = size_nodes(self._nodes, self.input_name)
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._known: dict[tuple[object, ...], Known] = {}
        self._fixed = {name: value for name, value in folded.constants.items() if not value.is_floating_point()}
        self._buffer_names = {name: f"weight_{i}" for i, name in enumerate(folded.constants) if name not in self._fixed}
        for name, buffer_name in self._buffer_names.items():
            self.register_buffer(buffer_name, folded.constants[name])
        super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        """The primary output for a batch of the file's input shape. Raises InputMismatch."""
        return self._compute(x, self.outputs[:1])[self.outputs[0]]

    def forward_with_taps(self, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """All outputs and all taps, by name. Raises InputMismatch."""
        values = self._compute(x, (*self.outputs, *self.taps))
        return {name: values[name] for name in self.outputs}, {name: values[name] for name in self.taps}

    def taps_only(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Some taps by name, computing only what they depend on.

        Raises:
            InputMismatch: the batch does not have the file's input shape.
            UnknownTap: a name is not among `self.taps`: only tensors whose parity was checked leave this module.
        """
        unknown = [name for name in names if name not in self.taps]
        if unknown:
            raise UnknownTap(f"{unknown} are not among the taps of this model; load it with taps={unknown}")
        return self._compute(x, tuple(names))

    def computing(self, operator: str, change: Callable[[Node, Kernel], Kernel]) -> "FrozenModel":
        """A copy that computes one operator otherwise, for studies of models that are not frozen; this one stays.

        Args:
            operator: of the standard domain.
            change: from each of its nodes and the node's kernel to the kernel of the copy.
        """
        copy = deepcopy(self)
        for node, kernel in copy._kernels.items():
            if (node.domain, node.operator) == ("", operator):
                copy._kernels[node] = change(node, kernel)
        copy._plans, copy._known = {}, {}
        return copy

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002 - torch's signature
        """Nothing: a frozen model stays in inference mode, also when it is part of a module in training."""
        return self

    def _compute(self, x: Tensor, targets: tuple[str, ...]) -> dict[str, Tensor]:
        self._check_shape(x)
        x = x.float() if x.dtype in (torch.uint8, torch.float16) else x
        key = (targets, tuple(x.shape), x.dtype, x.device)
        known = self._known.get(key)
        if known is not None:
            return self._follow(known.plan, x, targets, known.sizes)
        plan = self._plans.get(targets)
        if plan is None:
            plan = self._plans[targets] = self._plan(targets, self._nodes)
        values = self._follow(plan, x, (*targets, *plan.sizes), {})
        # What is made in inference mode could never take part in a gradient again.
        if plan.sizes and not torch.is_inference_mode_enabled():
            self._remember(key, targets, {name: values[name] for name in plan.sizes})
        return {name: values[name] for name in targets}

    def _follow(
        self, plan: Plan, x: Tensor, targets: tuple[str, ...], sizes: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        values = {name: self._constant(name) for name in plan.constants}
        values.update(sizes)
        values[self.input_name] = x
        for step in plan.steps:
            inputs = [values[name] if name else None for name in step.node.inputs]
            values.update(operators.run(step.node, step.kernel, inputs))
            # Whatever the gradient does not need is free as soon as its last reader has run.
            del inputs
            for name in step.drops:
                del values[name]
        return {name: values[name] for name in targets}

    def _remember(self, key: tuple[object, ...], targets: tuple[str, ...], sizes: dict[str, Tensor]) -> None:
        rest = [node for node in self._nodes if node not in self._sizes]
        while len(self._known) >= SHAPES_KEPT:
            del self._known[next(iter(self._known))]
        self._known[key] = Known(self._plan(targets, rest), sizes)

    def _plan(self, targets: tuple[str, ...], among: Sequence[Node]) -> Plan:
        nodes = ancestors(among, targets)
        content = [node for node in nodes if node not in self._sizes]
        wanted = {name for node in content for name in node.inputs}.union(targets)
        sizes = tuple(name for node in nodes if node in self._sizes for name in node.outputs if name and name in wanted)
        drops = last_uses(nodes, keep=(*targets, *sizes))
        steps = tuple(Step(node, self._kernels[node], drop) for node, drop in zip(nodes, drops, strict=True))
        read = dict.fromkeys([name for node in nodes for name in node.inputs] + list(targets))
        constants = tuple(name for name in read if name in self._fixed or name in self._buffer_names)
        return Plan(steps, constants, sizes)

    def _constant(self, name: str) -> Tensor:
        # The buffers' own dictionary: attribute look-up on a module costs as much as a small kernel.
        value = self._fixed[name] if name in self._fixed else self._buffers[self._buffer_names[name]]
        assert value is not None
        return value

    def _check_shape(self, x: Tensor) -> None:
        declared = self.input_shape
        if declared is None:
            return
        fits = len(declared) == x.dim() and all(
            want is None or want == got for want, got in zip(declared, x.shape, strict=True)
        )
        if not fits:
            raise InputMismatch(
                f"input {self.input_name!r} got shape {tuple(x.shape)}, the model file declares {declared} "
                f"(None is open); resize the batch or export the model with open dimensions"
            )
