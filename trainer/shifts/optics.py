"""What a lens does: blur, and corners that get less light."""

import numpy as np
from numpy.random import Generator
from scipy.ndimage import gaussian_filter

from trainer.shifts.kind import Drawn, Planes, Scene, camera, log_uniform, on_images, uniform

SIGMA = (0.015, 0.07)
"""Of the blur, as a share of the image's side: 0.5 to 2.2 pixels of 32."""
VIGNETTE = (0.3, 1.0)
OFF_CENTRE = 0.2


def blurred(images: Planes, sigma: float) -> Planes:
    """Convolved with a Gaussian of `sigma` pixels; edges are repeated."""
    return camera(gaussian_filter(images, sigma=(0, 0, sigma, sigma), mode="nearest"))


def vignetted(images: Planes, strength: float, centre: tuple[float, float]) -> Planes:
    """Times (1 - strength r²)², with r the distance from `centre` in units of that to the farthest corner.

    Args:
        centre: row and column, -1 to 1 from edge to edge.
    """
    height, width = images.shape[2:]
    rows, columns = np.linspace(-1, 1, height) - centre[0], np.linspace(-1, 1, width) - centre[1]
    squared = rows[:, None] ** 2 + columns[None, :] ** 2
    farthest = (1 + abs(centre[0])) ** 2 + (1 + abs(centre[1])) ** 2
    return camera(images * (1 - strength * squared / farthest) ** 2)


def blur(scene: Scene, random: Generator) -> Drawn:
    """Out of focus."""
    sigma = log_uniform(random, *SIGMA) * max(scene.shape[1:])
    return Drawn(on_images(lambda images: blurred(images, sigma)), {"sigma": sigma})


def vignette(_scene: Scene, random: Generator) -> Drawn:
    """Dark corners, around a centre that is a little off."""
    strength = uniform(random, *VIGNETTE)
    centre = uniform(random, -OFF_CENTRE, OFF_CENTRE), uniform(random, -OFF_CENTRE, OFF_CENTRE)
    return Drawn(on_images(lambda images: vignetted(images, strength, centre)), {"strength": strength})
