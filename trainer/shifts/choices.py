"""Which images are posted: skewed labels, one class, a few again and again, too few; and two domains in one batch.

All but `halves` choose among a pool in random order and change no image.
"""

import numpy as np
from numpy.random import Generator

from trainer.shifts.kind import Drawn, Ingredient, Labelled, Scene, log_uniform

CONCENTRATION = (0.1, 2.0)
"""Of the Dirichlet distribution that class frequencies are drawn from; at 0.1 one or two classes are nearly all."""
FEW_IMAGES = (8, 16)
DISTINCT = (4, 32)


def skewed(batch: Labelled, shares: dict[int, float], random: Generator) -> Labelled:
    """A part of the images in which each class has its share, as many as there are; in random order."""
    rows = {label: np.flatnonzero(batch.labels == label) for label in shares}
    most = min(len(rows[label]) / share for label, share in shares.items() if share > 0)
    kept = [rows[label][: round(most * share)] for label, share in shares.items()]
    return batch.take(random.permutation(np.concatenate(kept)))


def label_skew(_scene: Scene, random: Generator) -> Drawn:
    """Class frequencies far from even."""
    concentration = log_uniform(random, *CONCENTRATION)

    def step(batch: Labelled, random: Generator) -> Labelled:
        present = np.unique(batch.labels)
        shares = random.dirichlet(np.full(len(present), concentration))
        return skewed(batch, dict(zip(present.tolist(), shares.tolist(), strict=True)), random)

    return Drawn(step, {"concentration": concentration})


def classes(count: int) -> Ingredient:
    """`count` classes alone, each as frequent as it is in the pool."""

    def step(batch: Labelled, random: Generator) -> Labelled:
        chosen = random.choice(np.unique(batch.labels), count, replace=False)
        return batch.take(np.flatnonzero(np.isin(batch.labels, chosen)))

    return lambda _scene, _random: Drawn(step, {"classes": count})


def repeated(_scene: Scene, random: Generator) -> Drawn:
    """A few distinct images, each again and again."""
    distinct = round(log_uniform(random, *DISTINCT))

    def step(batch: Labelled, random: Generator) -> Labelled:
        return batch.take(random.permutation(np.arange(len(batch.labels)) % distinct))

    return Drawn(step, {"distinct": distinct})


def too_few(_scene: Scene, random: Generator) -> Drawn:
    """Fewer images than statistics can be told from."""
    count = int(random.integers(FEW_IMAGES[0], FEW_IMAGES[1] + 1))
    return Drawn(lambda batch, _random: batch.take(np.arange(count)), {"count": count})


def halves(first: Ingredient, second: Ingredient) -> Ingredient:
    """Half of the images shifted one way, the other half another."""

    def draw(scene: Scene, random: Generator) -> Drawn:
        drawn = [ingredient(scene, random) for ingredient in (first, second)]

        def step(batch: Labelled, random: Generator) -> Labelled:
            rows = np.array_split(random.permutation(len(batch.labels)), 2)
            images = batch.images.copy()
            for part, (shift, _) in zip(rows, drawn, strict=True):
                images[part] = shift(batch.take(part), random).images
            return batch._replace(images=images)

        return Drawn(step, {name: value for _, settings in drawn for name, value in settings.items()})

    return draw
