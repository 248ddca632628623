"""Where tensors meet: what comes from shapes lies on the CPU, what comes from images may lie on an accelerator."""

from torch import Tensor


def together(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The same tensors, all on the accelerator if one of them is."""
    device = tensors[0].device
    if all(tensor.device == device for tensor in tensors):
        return tensors
    target = next(tensor.device for tensor in tensors if tensor.device.type != "cpu")
    return tuple(tensor.to(target) for tensor in tensors)
