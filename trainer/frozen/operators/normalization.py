"""Normalization, in inference mode only."""

from torch import Tensor
from torch.nn import functional

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator


@operator("BatchNormalization", versions=(9, 14, 15))
def batch_normalization(node: Node) -> Kernel:
    """(x - mean) / sqrt(var + epsilon) * scale + bias, per channel, with the stored mean and var, each (C,)."""
    if node.integer("training_mode", 0):
        raise node.refusal("training_mode is 1, allowed 0; export the model in inference mode")
    epsilon = node.real("epsilon", 1e-5)

    def apply(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return functional.batch_norm(x, mean, var, scale, bias, training=False, eps=epsilon)

    return apply
