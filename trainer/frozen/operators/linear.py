"""Matrix products, and sums of products written as equations."""

import torch
from torch import Tensor

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator, plain
from trainer.frozen.operators.devices import together

operator("MatMul", versions=(1, 9, 13))(plain(lambda a, b: torch.matmul(*together(a, b))))


@operator("Gemm", versions=(7, 9, 11, 13))
def gemm(node: Node) -> Kernel:
    """The sum alpha A B + beta C; A and B are matrices, transposed on demand, C broadcasts and may be missing."""
    alpha, beta = node.real("alpha", 1.0), node.real("beta", 1.0)
    turn_a, turn_b = node.integer("transA", 0), node.integer("transB", 0)

    def apply(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        a, b = a.t() if turn_a else a, b.t() if turn_b else b
        return alpha * (a @ b) if c is None else torch.addmm(c, a, b, beta=beta, alpha=alpha)

    return apply


@operator("Einsum", versions=(12,))
def einsum(node: Node) -> Kernel:
    """Einstein's sum; a letter that the right side leaves out is summed over, without a right side one that repeats."""
    equation = node.text("equation", "")
    return lambda *parts: torch.einsum(equation, *together(*parts))
