"""Between real numbers and whole ones: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear.

Two rules hold here and in `quantized`. A quantized tensor that depends on the model's input is a *floating* tensor of
whole numbers, because a gradient has to pass through it; stored weights and zero points stay integer tensors. And the
forward pass is exactly onnxruntime's (round half to even, saturate), while the gradient is **straight-through**: that
of the identity where the rounded number is representable, zero where it saturates. `STRAIGHT_THROUGH` lists the
operators whose gradient is this convention and no derivative.
"""

from typing import Any

import onnx
import torch
from torch import Tensor

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator

MICROSOFT = "com.microsoft"
"""onnxruntime's own domain; its quantizer writes operators of it for what ONNX has no quantized operator for."""

STRAIGHT_THROUGH: frozenset[tuple[str, str]] = frozenset(
    {("", name) for name in ("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul")}
    | {
        (MICROSOFT, name)
        for name in (
            "QuantizeLinear",
            "QGemm",
            "QLinearAdd",
            "QLinearAveragePool",
            "QLinearConcat",
            "QLinearGlobalAveragePool",
            "QLinearLeakyRelu",
            "QLinearMul",
            "QLinearSigmoid",
            "QLinearSoftmax",
        )
    }
)
"""(domain, operator) of everything that rounds and gives a straight-through gradient."""

_KINDS = {
    int(onnx.TensorProto.UINT8): torch.uint8,
    int(onnx.TensorProto.INT8): torch.int8,
    int(onnx.TensorProto.UINT16): torch.uint16,
    int(onnx.TensorProto.INT16): torch.int16,
}
_REAL_KINDS = (int(onnx.TensorProto.FLOAT), int(onnx.TensorProto.FLOAT16), int(onnx.TensorProto.DOUBLE))


class _Round(torch.autograd.Function):
    """clamp(round(values) + zero, low, high); the gradient of values passes where nothing is clamped."""

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, zero: Tensor | float, low: int, high: int) -> tuple[Tensor, Tensor]:
        whole = torch.round(values) + zero
        clamped = whole.clamp(low, high)
        return clamped, clamped == whole

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:  # noqa: ARG004
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None, None


def saturate(values: Tensor, zero: Tensor | float, kind: torch.dtype) -> Tensor:
    """Whole numbers of an integer type.

    Args:
        values: real numbers in quanta, not shifted yet.
        zero: the zero point, broadcastable to `values`.
        kind: the integer type whose range saturates.

    Returns:
        Whole numbers in the type of `values`; the gradient is straight-through.
    """
    limits = torch.iinfo(kind)
    rounded: Tensor = _Round.apply(values, zero, limits.min, limits.max)[0]  # type: ignore[no-untyped-call]
    return rounded


def integer_kind(node: Node, zero: Tensor) -> torch.dtype:
    """The integer type that a stored zero point gives to the tensor beside it. Raises UnsupportedOperator."""
    if zero.dtype not in _KINDS.values():
        raise node.refusal(
            f"the zero point has type {zero.dtype}, allowed stored ones of {[str(kind) for kind in _KINDS.values()]}; "
            f"quantize the model to 8 or 16 bits"
        )
    return zero.dtype


def spread(parameter: Tensor, like: Tensor, axis: int, block: int = 0) -> Tensor:
    """A scale or zero point, in the type and place of `like` and broadcastable to it: one, per slice, or per block."""
    parameter = parameter.to(like.device, like.dtype)
    if parameter.numel() == 1:
        return parameter.reshape(())
    if block:
        return parameter.repeat_interleave(block, dim=axis).narrow(axis, 0, like.shape[axis])
    return parameter.reshape([-1 if at == axis % like.dim() else 1 for at in range(like.dim())])


def shift_of(zero: Tensor | None, like: Tensor, axis: int, block: int = 0) -> Tensor | float:
    """A zero point as `spread` gives it; a single stored one as a number, which costs no copy to an accelerator."""
    if zero is None:
        return 0.0
    if zero.numel() == 1 and not zero.is_floating_point():
        return float(zero.item())
    return spread(zero, like, axis, block)


def reals(x: Tensor, scale: Tensor) -> Tensor:
    """A quantized tensor, stored or computed, as floating numbers of the scale's type, at least single precision."""
    return x.to(scale.device, torch.promote_types(scale.dtype, torch.float32))


def dequantize(x: Tensor, scale: Tensor, zero: Tensor | None, axis: int = 1, block: int = 0) -> Tensor:
    """(x - zero) * scale."""
    x = reals(x, scale)
    return (x - shift_of(zero, x, axis, block)) * spread(scale, x, axis, block)


def _quantize_linear(node: Node) -> Kernel:
    """round(x / scale) + zero point, saturated; scales are one, per slice of `axis`, or per block of that axis."""
    axis, block, stated = node.integer("axis", 1), node.integer("block_size", 0), node.integer("output_dtype", 0)
    if stated and stated not in _KINDS:
        raise node.refusal(f"output_dtype is {stated}, allowed {sorted(_KINDS)}; quantize the model to 8 or 16 bits")
    if node.integer("precision", 0) not in (0, int(onnx.TensorProto.FLOAT)):
        raise node.refusal(f"precision is {node.integer('precision', 0)}, allowed 0 and 1; quantize in float32")

    def apply(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        kind = _KINDS[stated or int(onnx.TensorProto.UINT8)] if zero is None else integer_kind(node, zero)
        return saturate(x / spread(scale, x, axis, block), shift_of(zero, x, axis, block), kind)

    return apply


def _dequantize_linear(node: Node) -> Kernel:
    """(x - zero point) * scale; scales are one, per slice of `axis`, or per block of that axis."""
    axis, block, stated = node.integer("axis", 1), node.integer("block_size", 0), node.integer("output_dtype", 0)
    if stated and stated not in _REAL_KINDS:
        raise node.refusal(f"output_dtype is {stated}, allowed {_REAL_KINDS}; quantize the model in float32")
    return lambda x, scale, zero=None: dequantize(x, scale, zero, axis, block)


for _name, _binder in (("QuantizeLinear", _quantize_linear), ("DequantizeLinear", _dequantize_linear)):
    operator(_name, versions=(10, 13, 19, 21, 23, 24, 25))(_binder)
    # The quantizer writes these two for 16-bit types, which ONNX has had since opset 21 only.
    operator(_name, versions=(1,), domain=MICROSOFT)(_binder)


@operator("DynamicQuantizeLinear", versions=(11,), outputs=3)
def dynamic_quantize_linear(_node: Node) -> Kernel:
    """(x as uint8, its scale, its zero point), with the range of the whole batch; the scale carries no gradient."""

    def apply(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fixed = x.detach()
        low, high = fixed.amin().clamp(max=0.0), fixed.amax().clamp(min=0.0)
        width = (high - low) / 255.0
        scale = torch.where(width == 0, torch.ones_like(width), width)
        zero = torch.round((-low / scale).clamp(0.0, 255.0))
        return saturate(x / scale, zero, torch.uint8), scale, zero

    return apply
