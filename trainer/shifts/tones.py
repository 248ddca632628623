"""Brightness and colour: each pixel changes by its own value alone, everywhere in the same way."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trainer.shifts.kind import Drawn, Planes, Scene, camera, log_uniform, on_images, uniform

GAMMA = (1 / 3, 3.0)
CONTRAST = (0.3, 1.3)
BRIGHTNESS = (0.01, 0.25)
"""Of one channel, added or taken away."""
COLOUR_STRENGTH = (0.2, 1.0)
COLOUR_MATRIX, COLOUR_OFFSET = 0.25, 0.12
"""Standard deviations of a colour matrix around the identity and of an offset, at strength 1."""
INVERTED_CONTRAST = (0.5, 1.0)


def bent(images: Planes, exponent: float) -> Planes:
    """Each value to the power of `exponent`."""
    return camera(np.clip(images, 0.0, 1.0) ** np.float32(exponent))


def recoloured(images: Planes, matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> Planes:
    """Each pixel's channels (C,) as `matrix @ channels + offset`."""
    return camera(np.einsum("oc,nchw->nohw", matrix, images) + offset[:, None, None])


def inverted_with(images: Planes, contrast: float) -> Planes:
    """Black for white, with `contrast` around the middle grey."""
    return camera(0.5 + contrast * (0.5 - images))


def gamma(_scene: Scene, random: Generator) -> Drawn:
    """An exponent that darkens or brightens the middle."""
    exponent = log_uniform(random, *GAMMA)
    return Drawn(on_images(lambda images: bent(images, exponent)), {"exponent": exponent})


def colour(scene: Scene, random: Generator) -> Drawn:
    """Another mixture of channels and an offset; for one channel contrast and brightness."""
    channels = scene.shape[0]
    if channels == 1:
        contrast, brightness = log_uniform(random, *CONTRAST), log_uniform(random, *BRIGHTNESS)
        brightness *= random.choice((-1.0, 1.0))
        matrix, offset = np.array([[contrast]]), np.array([brightness])
        settings = {"contrast": contrast, "brightness": brightness}
    else:
        strength = uniform(random, *COLOUR_STRENGTH)
        matrix = np.eye(channels) + strength * COLOUR_MATRIX * random.standard_normal((channels, channels))
        offset = strength * COLOUR_OFFSET * random.standard_normal(channels)
        settings = {"strength": strength}
    return Drawn(on_images(lambda images: recoloured(images, matrix, offset)), settings)


def inverted(_scene: Scene, random: Generator) -> Drawn:
    """A negative."""
    contrast = uniform(random, *INVERTED_CONTRAST)
    return Drawn(on_images(lambda images: inverted_with(images, contrast)), {"contrast": contrast})
