"""What a sensor adds: noise, pixels and columns that are stuck, the paper's distortion; and what JPEG takes away."""

import io
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from trainer.shifts.distortion import Distortion
from trainer.shifts.kind import (
    Drawn,
    Ingredient,
    Labelled,
    Planes,
    Scene,
    camera,
    log_uniform,
    on_images,
    uniform,
)

NOISE = (0.02, 0.3)
STUCK_SHARE = (0.01, 0.1)
COLUMNS = (0.02, 0.15)
QUALITY = (3.0, 60.0)


def stuck_at(images: Planes, where: NDArray[np.bool_], value: Planes, columns: Planes) -> Planes:
    """`value` (C, H, W) wherever `where` (H, W) is true, the image plus `columns` (W,) elsewhere."""
    return camera(np.where(where, value, images + columns))


def compressed(images: Planes, quality: int) -> Planes:
    """Through JPEG and back: three channels as colour, any other number as grey pictures."""
    pixels = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    if images.shape[1] == 3:
        decoded = np.stack([_through_jpeg(picture.transpose(1, 2, 0), quality) for picture in pixels])
        return camera(decoded.transpose(0, 3, 1, 2) / 255)
    flat = pixels.reshape(-1, *pixels.shape[2:])
    return camera(np.stack([_through_jpeg(plane, quality) for plane in flat]).reshape(images.shape) / 255)


def distorted(images: Planes, distortion: Distortion, scene: Scene) -> Planes:
    """The paper's perturbation, in units of the pixels' standard deviation; nothing is clipped."""
    mean, std = scene.mean[:, None, None], scene.std[:, None, None]
    normalised = torch.from_numpy((images - mean) / std)
    return np.asarray(distortion(normalised).numpy() * std + mean, dtype=np.float32)


def noise(_scene: Scene, random: Generator) -> Drawn:
    """Normal noise, another in every pixel of every image."""
    deviation = log_uniform(random, *NOISE)

    def step(batch: Labelled, random: Generator) -> Labelled:
        grain = random.standard_normal(batch.images.shape, dtype=np.float32)
        return batch._replace(images=camera(batch.images + np.float32(deviation) * grain))

    return Drawn(step, {"deviation": deviation})


def stuck(scene: Scene, random: Generator) -> Drawn:
    """The same black and white pixels in every image, and an offset of every column."""
    share, deviation = log_uniform(random, *STUCK_SHARE), log_uniform(random, *COLUMNS)
    where = random.random(scene.shape[1:]) < share
    value = (random.random(scene.shape) < 0.5).astype(np.float32)
    columns = (deviation * random.standard_normal(scene.shape[2])).astype(np.float32)
    settings = {"share": share, "deviation": deviation}
    return Drawn(on_images(lambda images: stuck_at(images, where, value, columns)), settings)


def jpeg(_scene: Scene, random: Generator) -> Drawn:
    """Compressed too hard."""
    quality = round(log_uniform(random, *QUALITY))
    return Drawn(on_images(lambda images: compressed(images, quality)), {"quality": quality})


def distortion(low: float, high: float) -> Ingredient:
    """The paper's perturbation with a kappa from `low` to `high`."""

    def draw(scene: Scene, random: Generator) -> Drawn:
        kappa = uniform(random, low, high)
        drawn = Distortion.draw(scene.shape, kappa, int(random.integers(2**31)))
        return Drawn(on_images(lambda images: distorted(images, drawn, scene)), {"kappa": kappa})

    return draw


def _through_jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[Any]:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as decoded:
        return np.asarray(decoded)
