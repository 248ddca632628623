"""Arithmetic of several tensors, element by element, with numpy's broadcasting."""

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from trainer.frozen.node import Node
from trainer.frozen.operators import Binder, Kernel, operator, plain
from trainer.frozen.operators.devices import together


def _divide(a: Tensor, b: Tensor) -> Tensor:
    # ONNX divides integers as C does.
    return torch.div(a, b) if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _power(base: Tensor, exponent: Tensor) -> Tensor:
    # The result has the base's type even where torch would promote it.
    return torch.pow(base, exponent).to(base.dtype)


def _binary(function: Kernel) -> Binder:
    return plain(lambda a, b: function(*together(a, b)))


operator("Add", versions=(7, 13, 14))(_binary(torch.add))
operator("Sub", versions=(7, 13, 14))(_binary(torch.sub))
operator("Mul", versions=(7, 13, 14))(_binary(torch.mul))
operator("Div", versions=(7, 13, 14))(_binary(_divide))
operator("Pow", versions=(7, 12, 13, 15))(_binary(_power))


@operator("Mod", versions=(10, 13))
def modulo(node: Node) -> Kernel:
    """Remainder with the sign of the divisor, or with that of the dividend, as C has it, if fmod is 1."""
    remainder = torch.fmod if node.integer("fmod", 0) else torch.remainder
    return lambda a, b: remainder(*together(a, b))


def _each_with_the_next(function: Callable[[Tensor, Tensor], Tensor]) -> Binder:
    return plain(lambda *parts: reduce(function, together(*parts)))


operator("Sum", versions=(6, 8, 13))(_each_with_the_next(torch.add))
operator("Max", versions=(6, 8, 12, 13))(_each_with_the_next(torch.maximum))
operator("Min", versions=(6, 8, 12, 13))(_each_with_the_next(torch.minimum))


@operator("Mean", versions=(6, 8, 13))
@plain
def mean(*parts: Tensor) -> Tensor:
    """The sum of all inputs over their number."""
    return reduce(torch.add, together(*parts)) / len(parts)
