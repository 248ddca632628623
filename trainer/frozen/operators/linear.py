"""Matrix products."""

import torch
from torch import Tensor

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator, plain

operator("MatMul", versions=(9, 13))(plain(torch.matmul))


@operator("Gemm", versions=(9, 11, 13))
def gemm(node: Node) -> Kernel:
    """The sum alpha A B + beta C; A and B are matrices, transposed on demand, C broadcasts and may be missing."""
    alpha, beta = node.real("alpha", 1.0), node.real("beta", 1.0)
    turn_a, turn_b = node.integer("transA", 0), node.integer("transB", 0)

    def apply(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        a, b = a.t() if turn_a else a, b.t() if turn_b else b
        return alpha * (a @ b) if c is None else torch.addmm(c, a, b, beta=beta, alpha=alpha)

    return apply
