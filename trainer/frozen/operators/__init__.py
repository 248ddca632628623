"""The operator table: which operators can be computed differentiably, and from which versions of their schemas.

A new operator is one decorated function in a module of this folder; every module here is imported below, nothing else
is edited, and a test demands a case for it. The function is a *binder*: it gets the node once, when the model is
loaded, reads and judges the attributes, and returns a *kernel*, which gets the node's inputs in their order (None for
an optional one left out) at each call. Kernels are in inference mode, never write to their inputs, give the gradient to
tensors that require it, and keep integer tensors, which hold shapes and indices, on the CPU. Half precision is computed
in single precision: on a CPU that is faster, and a gradient survives it.

`versions` are since-versions of the schema whose meaning the function implements, not opsets: Relu of opset 17 is 14.
"""

import importlib
import pkgutil
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trainer.frozen.node import Node

Kernel = Callable[..., Tensor | tuple[Tensor, ...]]
Binder = Callable[[Node], Kernel]

_BINDERS: dict[tuple[str, str, int], Binder] = {}
_OUTPUTS: dict[tuple[str, str, int], int] = {}


def operator(name: str, *, versions: tuple[int, ...], outputs: int = 1, domain: str = "") -> Callable[[Binder], Binder]:
    """Enter a binder for these since-versions of an operator; its kernels return the first `outputs` outputs."""

    def enter(binder: Binder) -> Binder:
        for version in versions:
            key = (domain, name, version)
            assert key not in _BINDERS, f"{key} has two entries in the operator table"
            _BINDERS[key], _OUTPUTS[key] = binder, outputs
        return binder

    return enter


def plain(kernel: Kernel) -> Binder:
    """The binder of a kernel that needs no attributes; may stand as a decorator under `operator`."""
    return lambda _node: kernel


def entries() -> tuple[tuple[str, str, int], ...]:
    """(domain, operator, since-version) of everything in the table, sorted."""
    return tuple(sorted(_BINDERS))


def bind(node: Node) -> Kernel:
    """The kernel of one node.

    Raises:
        UnsupportedOperator: no entry for the operator or its version, attributes that are not implemented or do not
            fit together, or an output in use that the kernel does not compute. The message names the node.
    """
    key = (node.domain, node.operator, node.version or 0)
    if key not in _BINDERS:
        known = [version for domain, name, version in entries() if (domain, name) == key[:2]]
        raise node.refusal(
            f"not in the operator table; known versions of {node.operator}: {known or 'none'}; export with an opset "
            f"that has one of them, or add an entry in trainer/frozen/operators/"
        )
    surplus = [name for name in node.outputs[_OUTPUTS[key] :] if name]
    if surplus:
        raise node.refusal(
            f"outputs {surplus} are not computed, only the first {_OUTPUTS[key]} are; export the model in inference "
            f"mode and without them"
        )
    try:
        return _BINDERS[key](node)
    except (ValueError, TypeError, IndexError) as error:
        raise node.refusal(
            f"attributes {dict(node.attributes)} do not fit together: {error}; export it again"
        ) from error


def run(node: Node, kernel: Kernel, inputs: Sequence[Tensor | None]) -> dict[str, Tensor]:
    """The node's outputs by name, widened; whatever a kernel raises gets a note that says at which node."""
    try:
        result = kernel(*inputs)
    except Exception as error:
        error.add_note(f"while computing {node.label}")
        raise
    results = result if isinstance(result, tuple) else (result,)
    return {name: widened(value) for name, value in zip(node.outputs, results, strict=False)}


def widened(value: Tensor) -> Tensor:
    """Half precision as single precision, anything else as it is."""
    return value.float() if value.dtype == torch.float16 else value


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
