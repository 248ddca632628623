"""Where things lie in the picture: an affine warp."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from trainer.shifts.kind import Drawn, Planes, Scene, camera, log_uniform, on_images, uniform

DEGREES = (-25.0, 25.0)
SCALE = (0.75, 1.3)
SHEAR = (-0.2, 0.2)
MOVE = (-0.1, 0.1)
"""As a share of the image's side."""


def warped(images: Planes, matrix: NDArray[np.float64], move: NDArray[np.float64]) -> Planes:
    """The value at p comes from matrix (p - centre) + centre + move, linearly interpolated; edges are repeated.

    Args:
        matrix: (2, 2). move: (2,) rows and columns, in pixels.
    """
    centre = (np.array(images.shape[2:]) - 1) / 2
    offset = centre + move - matrix @ centre
    flat = images.reshape(-1, *images.shape[2:])
    moved = [affine_transform(plane, matrix, offset, order=1, mode="nearest") for plane in flat]
    return camera(np.reshape(moved, images.shape))


def warp(scene: Scene, random: Generator) -> Drawn:
    """Turned, stretched, sheared and moved."""
    degrees, shear = uniform(random, *DEGREES), uniform(random, *SHEAR)
    tall, wide = log_uniform(random, *SCALE), log_uniform(random, *SCALE)
    move = np.array([uniform(random, *MOVE) * side for side in scene.shape[1:]])
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag([1 / tall, 1 / wide])
    settings = {"degrees": degrees, "shear": shear, "tall": tall, "wide": wide}
    return Drawn(on_images(lambda images: warped(images, matrix, move)), settings)
