"""The domains of the study, the pairs of them, and which of their images play which part.

- Fitted: of the target's training images, without their labels: all, or as many as a batch has, drawn by the seed.
- Source images: of the source's training images, those that its model's training held back; for the tutorial's
  classifier, which is trained on all of them, as many at random.
- Test: the data sets' own test images. Nothing is fitted to them, and nothing was chosen by them: settings were chosen
  on optdigits (`sklearn.datasets.load_digits`), which is in no pair here, and one by training images of MNIST, see
  docs/decisions/0019.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.contract.digest import sha256_hex
from service.contract.input_spec import InputSpec
from trainer.datasets import Dataset, DatasetError, load_dataset
from trainer.studies.digits import HELD_BACK
from trainer.studies.svhn_data import load_svhn


@dataclass(frozen=True)
class Sizes:
    """How many images and how much work.

    Attributes:
        few: target images of a batch. front: of these, for the stages in front of the generator. source: source images
            that a fit may see.
        most: of every set, the images that are used; None for all.
        effort: share of the steps of every fit.
    """

    few: int = 512
    front: int = 512
    source: int = 5_000
    most: int | None = None
    effort: float = 1.0


QUICK = Sizes(few=64, front=24, source=128, most=320, effort=0.01)
"""To see that everything runs; its numbers mean nothing."""

PAIRS: Mapping[str, tuple[str, str]] = {
    "mnist-usps": ("mnist", "usps"),
    "usps-mnist": ("usps", "mnist"),
    "svhn-mnist": ("svhn", "mnist"),
}
"""Source and target."""


@dataclass(frozen=True)
class Domain:
    """One data set.

    Attributes:
        digest: SHA-256 of its files.
    """

    name: str
    train: Dataset
    test: Dataset
    digest: str

    def held_back(self) -> Dataset:
        """The last images: of MNIST's those that the training of the model that ships held back."""
        count = min(HELD_BACK, len(self.train.images) // 2)
        return self.train.take(np.arange(len(self.train.images) - count, len(self.train.images)))


def load_domain(name: str, files: tuple[Path, ...], spec: InputSpec, sizes: Sizes) -> Domain:
    """Read a data set: one .npz with both parts, or two .mat files of SVHN, training first.

    Raises:
        DatasetError: a file is missing or of another form, or has no labels.
    """
    if name == "svhn":
        train, test = (load_svhn(path, spec) for path in files)
    else:
        train, test = (load_dataset(files[0], spec, part=part) for part in ("train", "test"))
    if train.labels is None or test.labels is None:
        raise DatasetError(f"{files[0]} has no labels; accuracy cannot be measured")
    digest = sha256_hex(b"".join(path.read_bytes() for path in files))
    return Domain(name, _some(train, sizes.most), _some(test, sizes.most), digest)


def _some(dataset: Dataset, most: int | None) -> Dataset:
    if most is None or len(dataset.images) <= most:
        return dataset
    return dataset.take(np.linspace(0, len(dataset.images) - 1, most).astype(int))


def drawn(dataset: Dataset, count: int | None, seed: int) -> Dataset:
    """As many images by a seed, all in that order if there are no more or None is asked for."""
    return dataset.take(np.random.default_rng(seed).permutation(len(dataset.images))[:count])
