"""How rough images are: a term that the authors' code of the homogenization paper adds, and the paper does not name.

The code adds the norms of the channels' means and deviations to it; these are left out.
"""

import torch
from torch import Tensor


def roughness(images: Tensor) -> Tensor:
    """Mean over images (n, C, H, W) of the summed norms of their differences in four directions; a scalar.

    Right, down and both diagonals; each norm is Euclidean over all pixels and channels of an image. A norm has no
    gradient at 0, where torch takes 0.
    """
    differences = (
        images[:, :, :, :-1] - images[:, :, :, 1:],
        images[:, :, :-1, :] - images[:, :, 1:, :],
        images[:, :, 1:, :-1] - images[:, :, :-1, 1:],
        images[:, :, :-1, :-1] - images[:, :, 1:, 1:],
    )
    return torch.stack([torch.linalg.vector_norm(part.flatten(1), dim=1) for part in differences]).sum(dim=0).mean()
