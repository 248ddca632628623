"""One file under examination: every section as a finding, found out when it is first asked for, and only once."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from foreoptic.doctor.file import FileFacts, look_at_file
from foreoptic.doctor.findings import NotExaminedError, Problem, attempt, need
from foreoptic.doctor.interface import InputFacts, Outputs, look_at_input, look_at_outputs, read_spec, with_any_rows
from foreoptic.doctor.question import Question
from foreoptic.doctor.reading import Gradient, Parity, look_at_gradient, read
from foreoptic.doctor.registrable import Registrable, load_source, try_registration
from foreoptic.doctor.sharing import Sharing, look_at_sharing
from foreoptic.doctor.speed import Speed, time_stages, time_threads
from foreoptic.doctor.taps import Taps, look_at_taps
from service.contract.errors import (
    ContractError,
    DamagedTensor,
    ExternalData,
    ForeignOperator,
    GraphError,
    TrialError,
    TrialRefused,
    WrongInterface,
)
from service.contract.graph_rules import FROZEN_MODEL
from service.contract.input_spec import InputSpec
from service.engine.session import OnnxSession
from service.engine.trial_run import Report as Tried
from service.engine.trial_run import try_graph
from trainer.datasets import Dataset
from trainer.frozen import OperatorSurvey, survey_operators
from trainer.reading import EXAMPLES, Reading

Report = Callable[[float, str], None]
SAFE_TO_READ = (ExternalData, DamagedTensor, ForeignOperator, WrongInterface, TrialRefused)
"""What a trial says of a file that it could read and, at worst, onnxruntime could not load."""
QUICK_ROWS = 8
"""All sizes up to 32 are a run of 559 images, which is most of an examination of a large model."""


class Case:
    """The sections, each a value or the problem in its place."""

    def __init__(self, question: Question, report: Report) -> None:
        self._question = question
        self._report = report
        self._content = question.content

    @cached_property
    def file(self) -> FileFacts | Problem:
        """What the bytes say."""
        found = self._trial
        # What ended the trial's process, or is too much to be read, would do the same to this one.
        if isinstance(found, ContractError) and not isinstance(found, SAFE_TO_READ):
            return Problem(str(found))
        return attempt(lambda: look_at_file(self._content))

    @cached_property
    def input(self) -> InputFacts | Problem:
        """The input as it would be registered."""
        found = self._spec
        return found if isinstance(found, Problem) else attempt(lambda: look_at_input(self._content, found))

    @cached_property
    def outputs(self) -> Outputs | Problem:
        """What comes out of a run."""
        self._report(0.02, "outputs")
        found, wanted = self._session, self._question.stated.scores
        if isinstance(found, Problem):
            return found
        return attempt(lambda: look_at_outputs(found, self._needed_spec(), wanted))

    @cached_property
    def operators(self) -> OperatorSurvey | Problem:
        """Which operators there are, and what is refused."""
        self._report(0.05, "operators")
        return attempt(lambda: survey_operators(self._readable()))

    @cached_property
    def taps(self) -> Taps | Problem:
        """Where statistics can be compared."""
        self._report(0.07, "taps")
        return attempt(self._look_at_taps)

    @cached_property
    def parity(self) -> Parity | Problem:
        """How far the reading is from onnxruntime."""
        self._report(0.1, "parity")
        found = self._reading
        return found if isinstance(found, Problem) else found[1]

    @cached_property
    def gradient(self) -> Gradient | Problem:
        """What comes back to the input."""
        self._report(0.15, "gradient")
        return attempt(self._look_at_gradient)

    @cached_property
    def batches(self) -> Sharing | Problem:
        """Whether callers can share runs."""
        self._report(0.3, "batches")
        return attempt(lambda: self._share(self._needed_session()))

    @cached_property
    def registration(self) -> Registrable | Problem:
        """Whether all this is enough."""
        self._report(0.5, "registration")
        source = self._source
        for found in (source, self._session):
            if isinstance(found, Problem) and found.examined:
                return found
        return attempt(lambda: try_registration(self._question, self._needed_spec(), need(source, "input")))

    @cached_property
    def speed(self) -> Speed | Problem:
        """How fast this machine is."""
        return attempt(self._measure_speed)

    @cached_property
    def _trial(self) -> Tried | GraphError | TrialError:
        """The first load of bytes that nobody has seen before, in a process that may be lost."""
        try:
            return try_graph(self._content, FROZEN_MODEL)
        except (GraphError, TrialError) as error:
            return error

    @cached_property
    def _spec(self) -> InputSpec | Problem:
        return attempt(lambda: read_spec(self._readable(), self._question))

    @cached_property
    def _session(self) -> OnnxSession | Problem:
        return attempt(self._load)

    @cached_property
    def _source(self) -> Dataset | Problem | None:
        return attempt(lambda: load_source(self._question, self._needed_spec()))

    @cached_property
    def _reading(self) -> tuple[Reading, Parity] | Problem:
        return attempt(self._read)

    def _read(self) -> tuple[Reading, Parity]:
        spec = self._needed_spec()
        if need(self.operators, "operators").refusals:
            raise NotExaminedError("see operators")
        taps = tuple(tap.name for tap in need(self.taps, "taps").taps)
        scores = need(self.outputs, "outputs").scores
        return read(self._content, spec, taps=taps, scores=scores, example=self._example(spec))

    def _load(self) -> OnnxSession:
        spec, found = self._needed_spec(), self._trial
        if isinstance(found, ContractError):
            raise found
        if not found.declared:
            # It was loaded and not run: the file leaves open what is known by now.
            try_graph(self._content, FROZEN_MODEL, item=spec.item_shape)
        return OnnxSession(self._content, threads=self._question.threads)

    def _share(self, session: OnnxSession) -> Sharing:
        spec = self._needed_spec()
        rows = min(self._question.rows, QUICK_ROWS) if self._question.quick else self._question.rows
        return look_at_sharing(with_any_rows(session, spec), spec, rows)

    def _look_at_gradient(self) -> Gradient:
        reading, _ = need(self._reading, "parity")
        if not reading.taps:
            raise NotExaminedError("see taps")
        return look_at_gradient(reading, self._example(self._needed_spec()))

    def _look_at_taps(self) -> Taps:
        self._needed_session()
        return look_at_taps(self._content, self._needed_spec(), with_images=self._question.source is not None)

    def _example(self, spec: InputSpec) -> NDArray[np.float32]:
        """Source images where there are any, else noise, as registration takes them."""
        source = self._source
        images = source.images if source is not None and not isinstance(source, Problem) else None
        return spec.to_planes(spec.noise(EXAMPLES)) if images is None else images

    def _measure_speed(self) -> Speed:
        self._needed_session()
        content, spec, question = self._content, self._needed_spec(), self._question
        self._report(0.6, "speed")
        threads = time_threads(content, spec, batch=question.rows, cores=question.cores)
        self._report(0.8, "speed of corrector stages")
        return time_stages(content, spec, threads)

    def _needed_spec(self) -> InputSpec:
        return need(self._spec, "input")

    def _needed_session(self) -> OnnxSession:
        return need(self._session, "outputs")

    def _readable(self) -> bytes:
        need(self.file, "file")
        return self._content
