"""Comparing, deciding and counting in bits. Truth values have no gradient; Where gives it to the side that it takes."""

import math

import torch
from torch import Tensor

from trainer.frozen.node import Node
from trainer.frozen.operators import Binder, Kernel, operator, plain
from trainer.frozen.operators.devices import together


def _binary(function: Kernel) -> Binder:
    return plain(lambda a, b: function(*together(a, b)))


operator("Equal", versions=(7, 11, 13, 19))(_binary(torch.eq))
operator("Less", versions=(7, 9, 13))(_binary(torch.lt))
operator("LessOrEqual", versions=(12, 16))(_binary(torch.le))
operator("Greater", versions=(7, 9, 13))(_binary(torch.gt))
operator("GreaterOrEqual", versions=(12, 16))(_binary(torch.ge))

operator("Not", versions=(1,))(plain(torch.logical_not))
operator("And", versions=(7,))(_binary(torch.logical_and))
operator("Or", versions=(7,))(_binary(torch.logical_or))
operator("Xor", versions=(7,))(_binary(torch.logical_xor))

operator("BitwiseNot", versions=(18,))(plain(torch.bitwise_not))
operator("BitwiseAnd", versions=(18,))(_binary(torch.bitwise_and))
operator("BitwiseOr", versions=(18,))(_binary(torch.bitwise_or))
operator("BitwiseXor", versions=(18,))(_binary(torch.bitwise_xor))

operator("IsNaN", versions=(9, 13, 20))(plain(torch.isnan))


@operator("IsInf", versions=(10, 20))
def is_infinite(node: Node) -> Kernel:
    """Whether an element is one of the infinities that are asked for, both by default."""
    wanted = [
        sign * math.inf for sign, name in ((1, "detect_positive"), (-1, "detect_negative")) if node.integer(name, 1)
    ]
    return lambda x: torch.isin(x, torch.tensor(wanted, dtype=x.dtype, device=x.device))


@operator("Where", versions=(9, 16))
@plain
def where(condition: Tensor, chosen: Tensor, other: Tensor) -> Tensor:
    """`chosen` where the condition holds, `other` elsewhere; all three broadcast."""
    condition, chosen, other = together(condition, chosen, other)
    return torch.where(condition, chosen, other)
