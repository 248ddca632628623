"""What is known of one job, one JSON file each, written whole when all of it is known and never again."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from service.contract.bundle import replace_synced
from service.contract.verdict import Decision, Verdict
from trainer.shifts.kind import Answer, Use

FAILED = "failed"
"""Stands where a verdict would: the fit raised an error, and nothing was served."""
TOLERANCE = 1e-9
"""Accuracies are multiples of one image; their differences are not quite."""


class Fitted(BaseModel):
    """One fit of a job's batch.

    Attributes:
        verdict: None if the fit failed, and then `problem` says how.
        stages: of the candidate; empty if the fit came out as the identity.
        candidate: accuracy in percent through the candidate, whatever the verdict; None where there is none.
        seconds: from the batch to the verdict. timings: seconds of each step.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    verdict: Verdict | None
    problem: str | None = None
    stages: tuple[str, ...] = ()
    candidate: float | None = None
    seconds: float
    timings: dict[str, float] = {}

    @property
    def decision(self) -> str:
        """The verdict's decision, or that there is none."""
        return FAILED if self.verdict is None else str(self.verdict.decision)

    @property
    def is_promoted(self) -> bool:
        """Whether the candidate would be served."""
        return self.verdict is not None and self.verdict.decision is Decision.PROMOTE


class Record(Fitted):
    """One job.

    Attributes:
        answer: what is right for this kind and material.
        images: how many were posted. settings: the strengths that were drawn.
        identity: accuracy in percent of the judged images without correction. unshifted: the same before the shift.
        offline: another fit of the same batch, to compare with.
        program: see `program_digest`.
    """

    material: str
    title: str
    kind: str
    use: Use
    answer: Answer
    seed: int
    size: int
    images: int
    settings: dict[str, float]
    identity: float
    unshifted: float
    offline: Fitted | None = None
    program: str

    @property
    def gain(self) -> float:
        """Points that the candidate would bring, 0 where there is none."""
        return self.gain_of(self)

    @property
    def served_gain(self) -> float:
        """Points that the verdict brings."""
        return self.gain if self.is_promoted else 0.0

    def gain_of(self, fitted: Fitted) -> float:
        """Points that a fit's candidate would bring."""
        return 0.0 if fitted.candidate is None else fitted.candidate - self.identity


def path_of(folder: Path, key: str) -> Path:
    """Where a record lies."""
    return folder / f"{key}.json"


def find_record(folder: Path, key: str) -> Record | None:
    """The record if it was made before."""
    path = path_of(folder, key)
    return Record.model_validate_json(path.read_bytes()) if path.is_file() else None


def keep_record(folder: Path, key: str, record: Record) -> None:
    """Write it whole."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_synced(path_of(folder, key), record.model_dump_json(indent=1).encode())
