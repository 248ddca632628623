"""A copy of a frozen model whose batch normalisations can follow the batches that pass: what "frozen" forbids.

The calibrator paper's classifier was in training mode while its calibrator was fitted, and so adapted to the target by
itself; BN adaptation does nothing else. Both are compared with here, and neither is served.
"""

from copy import deepcopy
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from trainer.frozen.node import Node
from trainer.frozen.operators import Kernel
from trainer.reading import Reading


@dataclass
class Pace:
    """Whether the normalisations follow, and how fast.

    Attributes:
        following: use each batch's own statistics, and move the stored ones towards them.
        momentum: by which share of the difference.
    """

    following: bool = False
    momentum: float = 0.1


def thaw(reading: Reading) -> tuple[Reading, Pace]:
    """The copy, and what sets its pace; at rest it answers as the original does.

    Raises:
        ValueError: the file fixes its rows, and a batch of its own would be cut up and filled up.
    """
    if reading.rows is not None:
        raise ValueError(
            f"the model takes exactly {reading.rows} rows; normalisations can follow a batch only where rows are open"
        )
    pace = Pace()

    def follow(node: Node, kernel: Kernel) -> Kernel:
        epsilon = node.real("epsilon", 1e-5)

        def apply(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
            if not pace.following:
                resting = kernel(x, scale, bias, mean, var)
                assert isinstance(resting, Tensor)
                return resting
            # Torch writes the new statistics into `mean` and `var`, which are the copy's own.
            return functional.batch_norm(x, mean, var, scale, bias, training=True, momentum=pace.momentum, eps=epsilon)

        return apply

    copy = deepcopy(reading)
    copy.frozen = reading.frozen.computing("BatchNormalization", follow)
    return copy, pace
