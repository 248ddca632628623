"""Arithmetic, element by element, with numpy's broadcasting."""

import torch
from torch import Tensor

from trainer.frozen.operators import Binder, Kernel, operator, plain

operator("Sqrt", versions=(6, 13))(plain(torch.sqrt))
operator("Exp", versions=(6, 13))(plain(torch.exp))
operator("Log", versions=(6, 13))(plain(torch.log))
operator("Neg", versions=(6, 13))(plain(torch.neg))


def _divide(a: Tensor, b: Tensor) -> Tensor:
    # ONNX divides integers as C does.
    return torch.div(a, b) if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _power(base: Tensor, exponent: Tensor) -> Tensor:
    # The result has the base's type even where torch would promote it.
    return torch.pow(base, exponent).to(base.dtype)


def _binary(function: Kernel) -> Binder:
    def apply(a: Tensor, b: Tensor) -> Tensor | tuple[Tensor, ...]:
        # Shape arithmetic stays on the CPU and meets a weight on the accelerator only here.
        if a.device != b.device:
            a, b = (a.to(b.device), b) if a.device.type == "cpu" else (a, b.to(a.device))
        return function(a, b)

    return plain(apply)


operator("Add", versions=(7, 13, 14))(_binary(torch.add))
operator("Sub", versions=(7, 13, 14))(_binary(torch.sub))
operator("Mul", versions=(7, 13, 14))(_binary(torch.mul))
operator("Div", versions=(7, 13, 14))(_binary(_divide))
operator("Pow", versions=(7, 12, 13, 15))(_binary(_power))
