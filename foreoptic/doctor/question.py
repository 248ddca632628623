"""What a user asks: the file's bytes, what they say of it, and how this machine would serve it."""

from dataclasses import dataclass
from pathlib import Path

from foreoptic.registering import Stated
from trainer.interface import Normalisation


@dataclass(frozen=True)
class Question:
    """One file to look at.

    Attributes:
        content: the file's bytes.
        source: source images, if there are any; part: which of them, see `load_dataset`.
        threads: of one onnxruntime session, as the service is set.
        rows: most images in one run of the frozen model, as the service is set.
        cores: threads up to which speed is measured.
        quick: leave speed out, and compare small batches only.
    """

    content: bytes
    normalisation: Normalisation
    stated: Stated
    source: Path | None
    part: str | None
    threads: int
    rows: int
    cores: int
    quick: bool = False
