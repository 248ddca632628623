"""Which frozen model meets which images, and where these come from. A new material is one new entry in `MATERIALS`.

No image here was in the training of its model or in its fingerprint: of MNIST and CIFAR-10, the models' own sources,
only test images are taken; of USPS and optdigits, which the digits model never saw, all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn import __version__ as sklearn_version
from sklearn.datasets import load_digits

from service.contract.bundle import Bundle, read_bundle
from service.contract.digest import sha256_hex
from service.contract.input_spec import InputSpec
from service.contract.manifest import ModelManifest
from trainer.datasets import Dataset, DatasetError, load_dataset, pixels_of
from trainer.shifts.cases import to_units
from trainer.shifts.kind import Labelled
from trainer.studies.cifar10_data import load_cifar10

LEVELS = 16
"""Grey levels of optdigits are counts of ink from 0 to 16."""


@dataclass(frozen=True)
class Files:
    """The user's data sets, and the folder of the models that ship; None is not given."""

    models: Path
    mnist: Path | None = None
    usps: Path | None = None
    cifar10: Path | None = None


@dataclass(frozen=True)
class Plan:
    """How a material is put together.

    Attributes:
        model: name of the model that ships. file: which of `Files` it needs, None for what scikit-learn ships.
        is_source: whether its images are like those that the model was trained on.
        read: images and what to call them where a number of theirs stands.
    """

    model: str
    file: str | None
    is_source: bool
    read: Callable[[Path | None, InputSpec], tuple[str, Dataset]]

    def path(self, files: Files) -> Path | None:
        """The file that it needs, None if it is not given."""
        return None if self.file is None else getattr(files, self.file)

    def is_there(self, files: Files) -> bool:
        """Whether it can be loaded."""
        return self.file is None or self.path(files) is not None


@dataclass(frozen=True)
class Material:
    """A frozen model and labelled images for it, in units of the camera.

    Attributes:
        title: what to call the images where a number of theirs stands.
        digest: of the images' file.
    """

    name: str
    title: str
    model: Bundle[ModelManifest]
    images: Labelled
    is_source: bool
    digest: str


def _mnist(path: Path | None, spec: InputSpec) -> tuple[str, Dataset]:
    assert path is not None
    return "MNIST test", load_dataset(path, spec, part="test")


def _usps(path: Path | None, spec: InputSpec) -> tuple[str, Dataset]:
    assert path is not None
    parts = [load_dataset(path, spec, part=part) for part in ("train", "test")]
    labels = [part.labels for part in parts if part.labels is not None]
    images = np.concatenate([part.images for part in parts])
    return "USPS", Dataset(images, np.concatenate(labels) if len(labels) == len(parts) else None)


def _optdigits(_path: Path | None, spec: InputSpec) -> tuple[str, Dataset]:
    digits = load_digits()
    pixels = pixels_of(np.round(digits.images * (255 / LEVELS)).astype(np.uint8), spec)
    return "optdigits", Dataset(spec.to_planes(spec.from_pixels(pixels)), digits.target.astype(np.int64))


def _cifar10(path: Path | None, spec: InputSpec) -> tuple[str, Dataset]:
    assert path is not None
    found = load_cifar10(path, spec)
    return f"{found.name} test", found.test


MATERIALS: Mapping[str, Plan] = {
    "mnist": Plan("digits", "mnist", True, _mnist),
    "usps": Plan("digits", "usps", False, _usps),
    "optdigits": Plan("digits", None, False, _optdigits),
    "cifar10": Plan("cifar10", "cifar10", True, _cifar10),
}


def digest_of(name: str, files: Files) -> str:
    """A name for images and model: of the bytes of both, without reading them as images."""
    plan = MATERIALS[name]
    path = plan.path(files)
    data = path.read_bytes() if path is not None else sklearn_version.encode()
    manifest = read_bundle(files.models / plan.model, ModelManifest).digest
    return sha256_hex(f"{sha256_hex(data)} {manifest}".encode())


def load_material(name: str, files: Files) -> Material:
    """Read model and images.

    Raises:
        DatasetError: the file is of another form or has no labels.
    """
    plan = MATERIALS[name]
    model = read_bundle(files.models / plan.model, ModelManifest)
    title, dataset = plan.read(plan.path(files), model.manifest.input)
    if dataset.labels is None:
        raise DatasetError(f"the data set for {title} has no labels; harm cannot be measured on it")
    images = Labelled(to_units(dataset.images, model.manifest.input), dataset.labels)
    return Material(name, title, model, images, plan.is_source, digest_of(name, files))
