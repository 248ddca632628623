"""Sequences of tensors, as torch.export writes a split whose parts are taken one by one.

A sequence is held as one tensor, its parts stacked along a new first axis; so its parts have one shape, and others are
refused by name.
"""

import torch
from torch import Tensor

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel, operator, plain
from trainer.frozen.operators.devices import together


def _stacked(node: Node, parts: tuple[Tensor, ...]) -> Tensor:
    shapes = {tuple(part.shape) for part in parts}
    if len(shapes) != 1:
        raise node.refusal(f"makes a sequence of shapes {sorted(shapes)}, allowed one shape; export with Split instead")
    return torch.stack(together(*parts))


@operator("SequenceConstruct", versions=(11,))
def sequence_construct(node: Node) -> Kernel:
    """The sequence of all inputs."""
    return lambda *parts: _stacked(node, parts)


@operator("SplitToSequence", versions=(11, 24))
def split_to_sequence(node: Node) -> Kernel:
    """Parts along `axis` of one size (a scalar) or of sizes given; without them slices, of size 1 if keepdims is 1."""
    axis, keeps = node.integer("axis", 0), bool(node.integer("keepdims", 1))

    def apply(x: Tensor, sizes: Tensor | None = None) -> Tensor:
        if sizes is None:
            slices = x.movedim(axis, 0)
            return slices.unsqueeze(axis + 1 if axis >= 0 else axis) if keeps else slices
        wanted = int(sizes.item()) if sizes.dim() == 0 else sizes.tolist()
        return _stacked(node, torch.split(x, wanted, dim=axis))

    return apply


operator("SequenceAt", versions=(11,))(plain(lambda sequence, position: sequence[int(position.item())]))
operator("SequenceLength", versions=(11,))(plain(lambda sequence: torch.tensor(sequence.shape[0])))


@operator("ConcatFromSequence", versions=(11,))
def concat_from_sequence(node: Node) -> Kernel:
    """One part after the other along `axis`, or side by side along a new axis there if new_axis is 1."""
    axis, join = node.integer("axis", 0), torch.stack if node.integer("new_axis", 0) else torch.cat
    return lambda sequence: join(sequence.unbind(0), dim=axis)
