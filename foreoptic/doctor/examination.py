"""All sections of one examination, in their order. What one finds out, the next may need; a problem stops no other."""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from foreoptic.doctor.case import Case, Report
from foreoptic.doctor.file import FileFacts
from foreoptic.doctor.findings import Problem
from foreoptic.doctor.interface import InputFacts, Outputs
from foreoptic.doctor.question import Question
from foreoptic.doctor.reading import Gradient, Parity
from foreoptic.doctor.registrable import Registrable
from foreoptic.doctor.sharing import Sharing
from foreoptic.doctor.speed import Speed
from foreoptic.doctor.taps import Taps
from service.contract.digest import sha256_hex
from trainer.frozen import OperatorSurvey


@dataclass(frozen=True)
class Examination:
    """What is known of one file; speed is None if nobody asked for it."""

    sha256: str
    size_bytes: int
    file: FileFacts | Problem
    input: InputFacts | Problem
    outputs: Outputs | Problem
    operators: OperatorSurvey | Problem
    taps: Taps | Problem
    parity: Parity | Problem
    gradient: Gradient | Problem
    batches: Sharing | Problem
    registration: Registrable | Problem
    speed: Speed | Problem | None

    @property
    def registrable(self) -> bool:
        """Whether registration with the same options would accept the file."""
        return isinstance(self.registration, Registrable)

    def document(self) -> dict[str, Any]:
        """Everything as numbers and words, for scripts."""
        return {"registrable": self.registrable, **_strict(asdict(self))}


def examine(question: Question, report: Report) -> Examination:
    """Look at a file from all sides; `report` is told how far it has come, share from 0 to 1."""
    case = Case(question, report)
    return Examination(
        sha256=sha256_hex(question.content),
        size_bytes=len(question.content),
        file=case.file,
        input=case.input,
        outputs=case.outputs,
        operators=case.operators,
        taps=case.taps,
        parity=case.parity,
        gradient=case.gradient,
        batches=case.batches,
        registration=case.registration,
        speed=None if question.quick else case.speed,
    )


def _strict(value: Any) -> Any:  # JSON's values have no better type
    """JSON has no infinity and no NaN: what is not finite is null."""
    if isinstance(value, dict):
        return {key: _strict(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value
