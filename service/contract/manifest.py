"""The manifests of the two kinds of bundle: a frozen model with its fingerprint, and a corrector.

Law: `Manifest.from_bytes(m.to_bytes()).to_bytes() == m.to_bytes()`, unknown fields included.
"""

import json
import re
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, ValidationError

from service.contract.digest import canonical_json
from service.contract.errors import BadManifest
from service.contract.input_spec import InputSpec
from service.contract.stored import Stored

IDENTITY = 0
"""The version that every frozen model has: no correction."""

SCHEMA_MAJOR = 1
SCHEMA_VERSION = "1.0"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
NAME_RULE = "1 to 63 of a-z, 0-9, '-' and '_', starting with a letter or a digit"


class FileEntry(Stored):
    """One file of a bundle."""

    sha256: Sha256
    size_bytes: int = Field(ge=0)


class Manifest(Stored):
    """What both kinds share."""

    schema_version: str = SCHEMA_VERSION
    frozen_sha256: Sha256
    input: InputSpec
    files: dict[FileName, FileEntry]

    def to_bytes(self) -> bytes:
        """Canonical JSON; its SHA-256 names the bundle."""
        return canonical_json(self.to_json())

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read and check a manifest.

        Raises:
            BadManifest: not JSON, not canonical, another major schema version, or a field that does not fit.
        """
        try:
            raw = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BadManifest("manifest.json is not JSON") from error
        if not isinstance(raw, dict):
            raise BadManifest("manifest.json must hold a JSON object")
        version = str(raw.get("schema_version", "absent"))
        if version.split(".")[0] != str(SCHEMA_MAJOR):
            raise BadManifest(f"manifest.json has schema_version {version}; this release reads {SCHEMA_MAJOR}.x")
        try:
            manifest = cls.read(raw)
        except ValidationError as error:
            fields = ", ".join(".".join(str(part) for part in item["loc"]) for item in error.errors())
            raise BadManifest(f"manifest.json does not fit {cls.__name__}: see {fields}") from error
        if not manifest._is_written_as(content):
            raise BadManifest("manifest.json is not canonical JSON; write it with Manifest.to_bytes")
        return manifest

    def _is_written_as(self, content: bytes) -> bool:
        try:
            return self.to_bytes() == content
        # Infinity, a lone surrogate, nesting without end: readable, but nothing that this release would write.
        except (ValueError, RecursionError):
            return False


class Tap(Stored):
    """A tensor inside the frozen model whose channel statistics are compared."""

    name: str
    channels: int = Field(ge=1)
    reserved: bool = Field(description="Never fitted, used to choose and to judge.")


class OutputSpec(Stored):
    """The output that holds the class scores."""

    name: str
    classes: int = Field(ge=1)
    scores: Literal["logits", "probabilities"]


class ModelManifest(Manifest):
    """A registered frozen model: `model.onnx`, `fingerprint.npz` and, if it has one, its card."""

    kind: Literal["model"] = "model"
    name: Name
    output: OutputSpec
    labels: tuple[str, ...]
    taps: tuple[Tap, ...]
    fingerprint: Literal["full", "batchnorm"]

    def fitted_taps(self) -> tuple[str, ...]:
        """Names of the taps that a fit may use."""
        return tuple(tap.name for tap in self.taps if not tap.reserved)

    def reserved_taps(self) -> tuple[str, ...]:
        """Names of the taps that only choose and judge."""
        return tuple(tap.name for tap in self.taps if tap.reserved)


class CorrectorManifest(Manifest):
    """A corrector: `corrector.onnx`, `golden.npz` and `verdict.json`."""

    kind: Literal["corrector"] = "corrector"
    method: Name
    stages: tuple[str, ...] = Field(description="In the order of computation; empty for the identity.")
    opset: int
    parameters: int = Field(ge=0, description="Number of fitted numbers.")
    golden_tolerance: float = Field(gt=0, description="Largest absolute difference allowed on the golden outputs.")
    seed: int
    batch_sha256: Sha256
    configuration: dict[str, str | int | float | bool | None]
    packages: dict[str, str]
