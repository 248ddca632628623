"""Sections "input" and "outputs": what goes into the model and what comes out, as a run of it shows."""

from dataclasses import dataclass

import torch

from foreoptic.doctor.question import Question
from service.contract.input_spec import InputSpec
from service.engine.fixed_rows import FixedRows
from service.engine.pipeline import Graph
from service.engine.session import OnnxSession
from trainer.datasets import natural_size
from trainer.interface import choose_scores, is_open, read_input_spec
from trainer.probing import are_probabilities
from trainer.reading import EXAMPLES


@dataclass(frozen=True)
class InputFacts:
    """The input as it would be registered.

    Attributes:
        rows: of every run, where the file fixes them; None where any number goes.
        size_open: whether the file leaves height or width open.
    """

    name: str
    dtype: str
    layout: str
    channels: int
    height: int
    width: int
    rows: int | None
    size_open: bool
    bounds: tuple[float, float]


@dataclass(frozen=True)
class OutputFacts:
    """One output; `shape` is what came out for the number of rows that was tried."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Outputs:
    """All outputs for `rows` rows of noise, and which of them holds the class scores."""

    rows: int
    outputs: tuple[OutputFacts, ...]
    scores: str
    classes: int
    kind: str


def read_spec(content: bytes, question: Question) -> InputSpec:
    """The input as `foreoptic register` would read it. Raises RegistrationError."""
    size = question.stated.size
    if size is None and question.source is not None and is_open(content):
        size = natural_size(question.source, part=question.part)
    return read_input_spec(content, question.normalisation, layout=question.stated.layout, size=size)


def look_at_input(content: bytes, spec: InputSpec) -> InputFacts:
    """What a user wants to know of the input."""
    channels, height, width = spec.shape
    return InputFacts(
        spec.name, spec.dtype, spec.layout, channels, height, width, spec.batch, is_open(content), spec.bounds
    )


def look_at_outputs(session: OnnxSession, spec: InputSpec, wanted: str | None) -> Outputs:
    """Run the model once. Raises SessionError, or RegistrationError where no output can be the class scores."""
    rows = spec.batch or EXAMPLES
    values = dict(zip([output.name for output in session.outputs], session.run(spec.noise(rows)), strict=True))
    scores = choose_scores({name: value.shape for name, value in values.items()}, wanted=wanted, rows=rows)
    likely = are_probabilities(torch.from_numpy(values[scores]).float().reshape(len(values[scores]), -1))
    return Outputs(
        rows=rows,
        outputs=tuple(OutputFacts(name, str(value.dtype), value.shape) for name, value in values.items()),
        scores=scores,
        classes=values[scores].shape[1],
        kind="probabilities" if likely else "logits",
    )


def with_any_rows(session: OnnxSession, spec: InputSpec) -> Graph:
    """The model as it is served: runs of fixed rows are filled up."""
    return session if spec.batch is None else FixedRows(session, spec.batch)
