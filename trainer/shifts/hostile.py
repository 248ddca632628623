"""What does not belong into a batch: junk, and two poisons. Each takes the place of images, whose labels stay.

The two poisons stand for both ends. *Outliers* are strong: stripes and checkers of two to four pixels, and of three
times the camera's range, for who posts floats is not bound to it. *Look-alikes* cannot be told by what a pixel's value
says: each is an image of the batch whose small blocks were put in another order, one order for all, so that its
histogram is the image's own and all of them pull the same way. Neither knows the frozen model; an attacker who has it
may do worse.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trainer.shifts.kind import Drawn, Ingredient, Labelled, Planes, Scene, Step, uniform

JUNK_SHARE = (0.1, 0.5)
PERIODS = (2, 5)
DARKEST, BRIGHTEST = -1.0, 2.0
BLOCK = 2


def junk_pictures(count: int, shape: tuple[int, int, int], random: Generator) -> Planes:
    """Uniform noise in every other picture, one grey level all over in the others."""
    noise = random.random((count, *shape), dtype=np.float32)
    flat = random.random((count, 1, 1, 1), dtype=np.float32)
    is_flat = (np.arange(count) % 2 == 1)[:, None, None, None]
    return np.asarray(np.where(is_flat, flat, noise), dtype=np.float32)


def stripes(count: int, shape: tuple[int, int, int], random: Generator) -> Planes:
    """Stripes along rows, along columns or both, DARKEST and BRIGHTEST, each with its own width and start."""
    rows, columns = np.arange(shape[1])[:, None], np.arange(shape[2])[None, :]
    pictures = []
    for _ in range(count):
        width, start = random.integers(*PERIODS), random.integers(PERIODS[1], size=2)
        along = random.permutation(3)[0]
        bands = [(rows + start[0]) // width, (columns + start[1]) // width]
        pattern = (bands[along] if along < 2 else bands[0] + bands[1]) % 2
        pictures.append(np.broadcast_to(pattern, shape))
    bright = np.array(pictures, dtype=np.bool_).reshape(count, *shape)
    return np.where(bright, np.float32(BRIGHTEST), np.float32(DARKEST))


def reordered(images: Planes, order: NDArray[np.int64]) -> Planes:
    """Blocks of BLOCK x BLOCK pixels in another order; what an uneven side leaves over stays.

    Args:
        order: of the blocks, row by row.
    """
    count, channels, height, width = images.shape
    down, across = height // BLOCK, width // BLOCK
    inner = images[:, :, : down * BLOCK, : across * BLOCK]
    blocks = inner.reshape(count, channels, down, BLOCK, across, BLOCK).transpose(0, 1, 2, 4, 3, 5)
    mixed = blocks.reshape(count, channels, down * across, BLOCK, BLOCK)[:, :, order]
    mixed = mixed.reshape(count, channels, down, across, BLOCK, BLOCK).transpose(0, 1, 2, 4, 3, 5)
    result = images.copy()
    result[:, :, : down * BLOCK, : across * BLOCK] = mixed.reshape(inner.shape)
    return result


def junk(_scene: Scene, _random: Generator) -> Drawn:
    """Nothing but junk."""
    return Drawn(_junk_step(1.0), {"share": 1.0})


def some_junk(_scene: Scene, random: Generator) -> Drawn:
    """A lens cap that was on for a part of the time."""
    share = uniform(random, *JUNK_SHARE)
    return Drawn(_junk_step(share), {"share": share})


def outliers(share: float) -> Ingredient:
    """`share` of the images replaced by stripes, at least one."""

    def step(batch: Labelled, random: Generator) -> Labelled:
        rows = chosen(len(batch.labels), share, random)
        return replaced(batch, rows, stripes(len(rows), batch.images.shape[1:], random))

    return lambda _scene, _random: Drawn(step, {"share": share})


def look_alikes(share: float) -> Ingredient:
    """`share` of the images replaced by themselves in disorder, at least one."""

    def draw(scene: Scene, random: Generator) -> Drawn:
        order = random.permutation((scene.shape[1] // BLOCK) * (scene.shape[2] // BLOCK))

        def step(batch: Labelled, random: Generator) -> Labelled:
            rows = chosen(len(batch.labels), share, random)
            return replaced(batch, rows, reordered(batch.images[rows], order))

        return Drawn(step, {"share": share})

    return draw


def chosen(count: int, share: float, random: Generator) -> NDArray[np.int64]:
    """Row numbers of a share of `count`, at least one."""
    return random.permutation(count)[: max(1, round(share * count))]


def replaced(batch: Labelled, rows: NDArray[np.int64], images: Planes) -> Labelled:
    """The batch with other images in some rows."""
    whole = batch.images.copy()
    whole[rows] = images
    return batch._replace(images=whole)


def _junk_step(share: float) -> Step:
    def step(batch: Labelled, random: Generator) -> Labelled:
        rows = chosen(len(batch.labels), share, random)
        return replaced(batch, rows, junk_pictures(len(rows), batch.images.shape[1:], random))

    return step
