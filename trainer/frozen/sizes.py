"""Which nodes compute sizes: their results depend on the shape of the input alone, not on what is in it.

Exporters write a reshape to "as many rows as came in" as half a dozen small nodes. For inputs of one shape their
results are always the same, so a reading computes them once per shape; a transformer has a hundred of them.
"""

from collections.abc import Sequence

from trainer.frozen.node import Node

MEASURING = ("Shape", "Size")
CONTENT_SIZED = ("NonZero", "Unique", "Compress", "NonMaxSuppression", "ConstantOfShape", "Range")
"""Operators whose result has a shape that depends on the content of any of their inputs."""
SIZED_BY_INPUTS = (
    *("Reshape", "Expand", "Slice", "Tile", "Pad", "Split", "TopK", "Squeeze", "Unsqueeze"),
    *("Resize", "Upsample", "AffineGrid", "CenterCropPad", "OneHot", "SplitToSequence", "SequenceAt"),
)
"""Operators whose result has a shape that depends on the content of their inputs behind the first."""


def size_nodes(nodes: Sequence[Node], input_name: str) -> frozenset[Node]:
    """The nodes whose results depend on the input's shape alone.

    Args:
        nodes: in topological order, those of the constant part left out.
        input_name: the graph's input.

    Returns:
        None at all if the content of the input decides a size somewhere: then no size is safe to keep.
    """
    content, sizes = {input_name}, set()
    for node in nodes:
        if node.operator in MEASURING or content.isdisjoint(node.inputs):
            sizes.add(node)
        elif node.operator in CONTENT_SIZED or (_takes_sizes(node) and not content.isdisjoint(node.inputs[1:])):
            return frozenset()
        else:
            content.update(name for name in node.outputs if name)
    return frozenset(sizes)


def _takes_sizes(node: Node) -> bool:
    return node.operator in SIZED_BY_INPUTS or node.operator.startswith("Reduce")
