"""Arithmetic on quantized tensors: what onnxruntime's quantizer writes in its QOperator format.

Each computes in whole numbers held by floating tensors, as onnxruntime computes in integers, and rounds once at the
end. Sums of products are exact up to 2^24 in single precision; beyond that a result can be off by one quantum where it
lies within 1e-7 of a tie. Rounding is straight-through; see `quantization`.
"""

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator
from trainer.frozen.operators.convolution import convolution
from trainer.frozen.operators.pooling import average_pool, global_average_pool
from trainer.frozen.operators.quantization import (
    MICROSOFT,
    dequantize,
    integer_kind,
    reals,
    saturate,
    shift_of,
    spread,
)


def _requantize(node: Node, sums: Tensor, ratio: Tensor, zero: Tensor, axis: int = 1) -> Tensor:
    """Whole sums times a ratio of scales, rounded to the zero point's type."""
    return saturate(sums * spread(ratio, sums, axis), shift_of(zero, sums, axis), integer_kind(node, zero))


def _shift_and_round(node: Node, quanta: Tensor, zero: Tensor) -> Tensor:
    # Some of onnxruntime's kernels add the zero point before they round: ties go to the other side if it is odd.
    return saturate(quanta + shift_of(zero, quanta, -1), 0.0, integer_kind(node, zero))


def _quantize(node: Node, x: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    return saturate(x / spread(scale, x, 1), shift_of(zero, x, 1), integer_kind(node, zero))


def _require_zero_point(node: Node, position: int) -> None:
    if len(node.inputs) <= position or not node.inputs[position]:
        raise node.refusal(
            f"input {position}, the zero point of the result, is left out, and with it the result's type; quantize "
            f"the model again with onnxruntime.quantization, which writes it"
        )


@operator("QLinearConv", versions=(10,))
def quantized_convolution(node: Node) -> Kernel:
    """Conv of quantized x and weights, the bias in quanta of both scales; weights have one scale or one a channel."""
    convolve = cast("Callable[..., Tensor]", convolution(node))

    def apply(
        x: Tensor,
        x_scale: Tensor,
        x_zero: Tensor,
        weight: Tensor,
        w_scale: Tensor,
        w_zero: Tensor,
        y_scale: Tensor,
        y_zero: Tensor,
        bias: Tensor | None = None,
    ) -> Tensor:
        x, weight = reals(x, x_scale), reals(weight, x_scale)
        sums = convolve(
            x - shift_of(x_zero, x, 1),
            weight - shift_of(w_zero, weight, 0),
            None if bias is None else reals(bias, x_scale),
        )
        return _requantize(node, sums, x_scale * w_scale / y_scale, y_zero)

    return apply


def _rows(parameter: Tensor) -> Tensor:
    """One value per row of the left factor; columns of the right one need no care."""
    return parameter.reshape(-1, 1) if parameter.dim() == 1 and parameter.numel() > 1 else parameter


@operator("QLinearMatMul", versions=(10, 21))
def quantized_product(node: Node) -> Kernel:
    """MatMul of quantized matrices; a has one scale or one a row, b one or one a column."""

    def apply(
        a: Tensor,
        a_scale: Tensor,
        a_zero: Tensor,
        b: Tensor,
        b_scale: Tensor,
        b_zero: Tensor,
        y_scale: Tensor,
        y_zero: Tensor,
    ) -> Tensor:
        a, b = reals(a, a_scale), reals(b, a_scale)
        sums = (a - reals(_rows(a_zero), a_scale)) @ (b - reals(b_zero, a_scale))
        ratio = _rows(a_scale) * b_scale / y_scale
        return saturate(sums * ratio, shift_of(y_zero, sums, -1), integer_kind(node, y_zero))

    return apply


def _floating(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in floating numbers and in one place: those of the one that depends on the model's input."""
    lead = a if a.is_floating_point() else b if b.is_floating_point() else a.to(torch.float32)
    return a.to(lead.device, lead.dtype), b.to(lead.device, lead.dtype)


@operator("MatMulInteger", versions=(10,))
def integer_product(_node: Node) -> Kernel:
    """MatMul of integer matrices less their zero points, one each or one a row of a and a column of b."""

    def apply(a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None) -> Tensor:
        a, b = _floating(a, b)
        a = a if a_zero is None else a - _rows(a_zero).to(a.device, a.dtype)
        b = b if b_zero is None else b - b_zero.to(b.device, b.dtype)
        return a @ b

    return apply


@operator("ConvInteger", versions=(10,))
def integer_convolution(node: Node) -> Kernel:
    """Conv of integers less their zero points; weights have one or one a channel."""
    convolve = cast("Callable[..., Tensor]", convolution(node))

    def apply(x: Tensor, weight: Tensor, x_zero: Tensor | None = None, w_zero: Tensor | None = None) -> Tensor:
        x, weight = _floating(x, weight)
        return convolve(x - shift_of(x_zero, x, 1), weight - shift_of(w_zero, weight, 0))

    return apply


@operator("QGemm", versions=(1,), domain=MICROSOFT)
def quantized_gemm(node: Node) -> Kernel:
    """The sum alpha A B + C of quantized matrices, C in quanta of both scales; real without a scale of the result."""
    alpha, turn_a, turn_b = node.real("alpha", 1.0), node.integer("transA", 0), node.integer("transB", 0)
    if len(node.inputs) > 7 and node.inputs[7]:
        _require_zero_point(node, 8)

    def apply(
        a: Tensor,
        a_scale: Tensor,
        a_zero: Tensor,
        b: Tensor,
        b_scale: Tensor,
        b_zero: Tensor,
        c: Tensor | None = None,
        y_scale: Tensor | None = None,
        y_zero: Tensor | None = None,
    ) -> Tensor:
        a, b = reals(a, a_scale) - reals(a_zero, a_scale), reals(b, a_scale)
        a, b = a.t() if turn_a else a, b.t() if turn_b else b
        sums = a @ (b - reals(b_zero, a_scale))
        sums = sums if c is None else sums + reals(c, a_scale)
        factor = alpha * a_scale * b_scale
        if y_scale is None or y_zero is None:
            return sums * factor
        return _requantize(node, sums, factor / y_scale, y_zero)

    return apply


def _binary(combine: Callable[..., Tensor]) -> Callable[[Node], Kernel]:
    """`combine` gets (a - its zero, b - its zero, scales of a, b and the result) and returns quanta of the result."""

    def bind(node: Node) -> Kernel:
        _require_zero_point(node, 7)

        def apply(
            a: Tensor,
            a_scale: Tensor,
            a_zero: Tensor | None,
            b: Tensor,
            b_scale: Tensor,
            b_zero: Tensor | None,
            y_scale: Tensor,
            y_zero: Tensor,
        ) -> Tensor:
            a, b = reals(a, a_scale), reals(b, a_scale)
            quanta = combine(a - shift_of(a_zero, a, -1), b - shift_of(b_zero, b, -1), a_scale, b_scale, y_scale)
            return _shift_and_round(node, quanta, y_zero)

        return apply

    return bind


def _sum(a: Tensor, b: Tensor, a_scale: Tensor, b_scale: Tensor, y_scale: Tensor) -> Tensor:
    return a * (a_scale / y_scale) + b * (b_scale / y_scale)


def _product(a: Tensor, b: Tensor, a_scale: Tensor, b_scale: Tensor, y_scale: Tensor) -> Tensor:
    return a * b * (a_scale * b_scale / y_scale)


operator("QLinearAdd", versions=(1,), domain=MICROSOFT)(_binary(_sum))
operator("QLinearMul", versions=(1,), domain=MICROSOFT)(_binary(_product))


def _through_reals(bind_real: Callable[[Node], Kernel]) -> Callable[[Node], Kernel]:
    """Quantize(f(dequantize(x))): how onnxruntime computes those that it tabulates or has no integer kernel for."""

    def bind(node: Node) -> Kernel:
        _require_zero_point(node, 4)
        real = bind_real(node)

        def apply(x: Tensor, x_scale: Tensor, x_zero: Tensor | None, y_scale: Tensor, y_zero: Tensor) -> Tensor:
            return _quantize(node, real(dequantize(x, x_scale, x_zero)), y_scale, y_zero)  # type: ignore[arg-type]

        return apply

    return bind


def _refuse_channels_last(node: Node) -> None:
    if node.integer("channels_last", 0):
        raise node.refusal("channels_last is 1, allowed 0; quantize the model without onnxruntime's NHWC transformer")


def _bind_global_average_pool(node: Node) -> Kernel:
    _refuse_channels_last(node)
    return global_average_pool(node)


@operator("QLinearAveragePool", versions=(1,), domain=MICROSOFT)
def quantized_average_pool(node: Node) -> Kernel:
    """AveragePool of the real numbers, quantized again."""
    _refuse_channels_last(node)
    _require_zero_point(node, 4)
    pool = cast("Callable[[Tensor], Tensor]", average_pool(node))

    def apply(x: Tensor, x_scale: Tensor, x_zero: Tensor | None, y_scale: Tensor, y_zero: Tensor) -> Tensor:
        return _shift_and_round(node, pool(dequantize(x, x_scale, x_zero)) / y_scale, y_zero)

    return apply


def _bind_leaky_relu(node: Node) -> Kernel:
    return partial(functional.leaky_relu, negative_slope=node.real("alpha", 0.01))


def _bind_softmax(node: Node) -> Kernel:
    axis, opset = node.integer("axis", -1), node.integer("opset", 13)
    if opset < 13:
        return lambda x: torch.softmax(x.flatten(axis % x.dim()), dim=-1).reshape(x.shape)
    return partial(torch.softmax, dim=axis)


for _name, _real in {
    "QLinearSigmoid": lambda _node: torch.sigmoid,
    "QLinearLeakyRelu": _bind_leaky_relu,
    "QLinearSoftmax": _bind_softmax,
    "QLinearGlobalAveragePool": _bind_global_average_pool,
}.items():
    operator(_name, versions=(1,), domain=MICROSOFT)(_through_reals(_real))


@operator("QLinearConcat", versions=(1,), domain=MICROSOFT)
def quantized_concat(node: Node) -> Kernel:
    """Concat of tensors with a scale and zero point each; inputs are the result's two, then three per tensor."""
    axis = node.integer("axis", 1)
    _require_zero_point(node, 1)

    def apply(y_scale: Tensor, y_zero: Tensor, *parts: Tensor) -> Tensor:
        triples = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
        return _quantize(node, torch.cat([dequantize(*triple) for triple in triples], dim=axis), y_scale, y_zero)

    return apply
