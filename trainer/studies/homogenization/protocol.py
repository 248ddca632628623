"""Which images play which part, and how many: the data sets' plans, their sizes, and reading them.

- A, the source: the images that the frozen model's training held back, the last 5,000 of the training set. Of these are
  the fingerprint that ships beside it, and whatever a feature map needs source images for.
- B, the target: 512 images, drawn anew for each draw from 2,000 test images.
- C, the validation set: the other 8,000 test images. Nothing is fitted to them and no setting was chosen by them.

The paper takes A to be the training set, and its B lies within it (99.8 % of B is classified rightly, 93.2 % of C).
Here no image of B or C was in the training of either net that ships.

Everything is computed on images normalised as in the paper's code, z = (pixel - mean) / std with pixels from 0 to 1;
`Space` leads from there to the planes of each net.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.contract.digest import sha256_hex
from service.contract.input_spec import InputSpec
from trainer.datasets import Dataset, DatasetError, load_dataset
from trainer.studies.cifar10_data import load_cifar10
from trainer.task import Source

TEST_ORDER = 20_210_407
"""Seed of the order of the test images, from which the pool of B and the set C are cut."""


@dataclass(frozen=True)
class Sizes:
    """How many images, and how many epochs.

    Attributes:
        source: of A. pool: what B is drawn from. fitted: of B. validation: of C; less where the file has fewer.
    """

    source: int = 5_000
    pool: int = 2_000
    fitted: int = 512
    validation: int = 8_000
    epochs: int = 100


QUICK = Sizes(source=500, pool=256, fitted=128, validation=500, epochs=4)
"""To see that everything runs; its numbers mean nothing."""


@dataclass(frozen=True)
class Plan:
    """What table 5 of the paper says of a data set.

    Attributes:
        model, verifier: names of the bundles that ship.
        mean, std: of the normalisation, one value a channel.
        stats_weight: r_stats in the supervised setting.
        criterion_weight: of the cross-entropy beside this project's scale-free loss, for its own supervised row; chosen
            on other draws than those of any table.
    """

    name: str
    model: str
    verifier: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    kappa: float
    stats_weight: float
    criterion_weight: float


PLANS: Mapping[str, Plan] = {
    "mnist": Plan(
        "mnist",
        "digits",
        "digits-verifier",
        (0.1307,),
        (0.3081,),
        kappa=0.3,
        stats_weight=0.001,
        criterion_weight=0.1,
    ),
    "cifar10": Plan(
        "cifar10",
        "cifar10",
        "cifar10-verifier",
        (0.4914, 0.4822, 0.4465),
        (0.2023, 0.1994, 0.2010),
        kappa=0.15,
        stats_weight=10.0,
        criterion_weight=0.003,
    ),
}


@dataclass(frozen=True)
class Space:
    """Between normalised images z and the planes of one net: planes = gain z + shift, per channel."""

    gain: tuple[float, ...]
    shift: tuple[float, ...]

    @classmethod
    def of(cls, plan: Plan, spec: InputSpec) -> "Space":
        """For a net whose input is `spec`."""
        low, high = (bound.astype(np.float64) for bound in spec.plane_bounds())
        span = high - low
        return cls(tuple(span * np.array(plan.std)), tuple(low + span * np.array(plan.mean)))

    def to_planes(self, images: Tensor) -> Tensor:
        """Normalised images (n, C, H, W) as planes."""
        return images * self._column(self.gain, images) + self._column(self.shift, images)

    def from_planes(self, planes: Tensor) -> Tensor:
        """Planes as normalised images."""
        return (planes - self._column(self.shift, planes)) / self._column(self.gain, planes)

    @staticmethod
    def _column(values: tuple[float, ...], images: Tensor) -> Tensor:
        return torch.tensor(values, dtype=images.dtype, device=images.device).reshape(-1, 1, 1)


@dataclass(frozen=True)
class Material:
    """Normalised images and labels of every part.

    Attributes:
        name: what to call the data set where a number of it stands.
        digest: SHA-256 of the file.
    """

    name: str
    digest: str
    source: Source
    pool: Source
    validation: Source

    def drawn(self, seed: int, count: int) -> Source:
        """B of one draw."""
        rows = torch.from_numpy(np.random.default_rng(seed).permutation(len(self.pool.images))[:count])
        return Source(self.pool.images[rows], self.pool.labels[rows])


def load_material(plan: Plan, path: Path, spec: InputSpec, sizes: Sizes) -> Material:
    """Read a data set and cut it into its parts.

    Raises:
        DatasetError: the file is of another form, has no labels, or has too few images.
    """
    space = Space.of(plan, spec)
    name, train, test = _read(plan, path, spec)
    order = np.random.default_rng(TEST_ORDER).permutation(len(test.images))
    left = len(order) - sizes.pool
    if left < 1 or sizes.pool < sizes.fitted:
        raise DatasetError(f"{path} has {len(order)} test images; more than {sizes.pool} are needed to draw from")
    return Material(
        name=name,
        digest=sha256_hex(path.read_bytes()),
        source=_part(train, np.arange(len(train.images))[-sizes.source :], space),
        pool=_part(test, order[: sizes.pool], space),
        validation=_part(test, order[sizes.pool :][: sizes.validation], space),
    )


def _read(plan: Plan, path: Path, spec: InputSpec) -> tuple[str, Dataset, Dataset]:
    if plan.name == "cifar10":
        return load_cifar10(path, spec)
    train, test = (load_dataset(path, spec, part=part) for part in ("train", "test"))
    return "MNIST", train, test


def _part(dataset: Dataset, rows: NDArray[np.int64], space: Space) -> Source:
    if dataset.labels is None:
        raise DatasetError("the data set has no labels; accuracy cannot be measured")
    planes = torch.from_numpy(dataset.images[rows])
    return Source(space.from_planes(planes).float(), torch.from_numpy(dataset.labels[rows]))
