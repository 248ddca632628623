"""The pipeline: one run of the frozen model for a mixed batch, each row through its own version, failing open."""

from collections.abc import Callable
from itertools import count

import numpy as np
import pytest

from service.engine.pipeline import Answer, Pipeline, Request, Version, mixes_exactly
from service.engine.session import Array, OnnxSession, SessionError
from tests.conftest import random_rows

PLAIN = Version(0, None)


class Recorder:
    """A graph that multiplies, and remembers how many rows each run had."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = np.float32(gain)
        self.runs: list[int] = []

    def run(self, x: Array) -> list[Array]:
        self.runs.append(len(x))
        return [x * self.gain]


class Broken(Recorder):
    def run(self, x: Array) -> list[Array]:
        raise SessionError("broken")


class Poisoned(Recorder):
    """Yields NaN for rows whose first value is negative."""

    def run(self, x: Array) -> list[Array]:
        result = x * self.gain
        result[x[:, 0, 0, 0] < 0] = np.nan
        return [result]


class Reshaping(Recorder):
    def run(self, x: Array) -> list[Array]:
        return [x[:, :, :4]]


class Summing(Recorder):
    """Keeps one row as it is, and makes a single number of several."""

    def run(self, x: Array) -> list[Array]:
        return [x if len(x) == 1 else x.sum()]


class First(Recorder):
    def run(self, x: Array) -> list[Array]:
        return [x[:1]]


class Scoring(Recorder):
    """Rows, and besides them one output that has no entry a row."""

    def __init__(self, extra: Callable[[Array], Array]) -> None:
        super().__init__()
        self.extra = extra

    def run(self, x: Array) -> list[Array]:
        return [*super().run(x), self.extra(x)]


def first(answers: list[Answer]) -> list[Array]:
    return [answer.outputs[0] for answer in answers]


def test_a_mixed_batch_takes_one_run_of_the_frozen_model_and_one_of_each_corrector() -> None:
    frozen, half, double = Recorder(), Recorder(0.5), Recorder(2)
    rows = [random_rows(n, n) for n in (1, 2, 3, 4, 5)]
    plan = [PLAIN, Version(1, half), Version(2, double), Version(1, half), PLAIN]

    answers = Pipeline(frozen, mixes=True).run([Request(x, v) for x, v in zip(rows, plan, strict=True)])

    assert [[15], [6], [3]] == [frozen.runs, half.runs, double.runs]
    for x, gain, answer in zip(rows, (1, 0.5, 2, 0.5, 1), first(answers), strict=True):
        assert np.array_equal(x * np.float32(gain), answer)


def test_a_model_whose_bits_depend_on_the_batch_runs_each_caller_alone() -> None:
    frozen = Recorder()

    Pipeline(frozen, mixes=False).run([Request(random_rows(n), PLAIN) for n in (2, 3)])

    assert [2, 3] == frozen.runs


@pytest.mark.parametrize("graph", [Broken(), Reshaping()], ids=["raises", "changes the shape"])
def test_a_failing_corrector_costs_the_correction_and_not_the_answer(graph) -> None:
    x, other = random_rows(2), random_rows(3, 1)

    failed, fine = Pipeline(Recorder(), mixes=True).run(
        [Request(x, Version(1, graph)), Request(other, Version(2, Recorder(2)))]
    )

    assert (failed.corrected, fine.corrected) == (False, True)
    assert np.array_equal(x, failed.outputs[0])
    assert np.array_equal(other * 2, fine.outputs[0])


@pytest.mark.parametrize("graph", [Summing(), First()], ids=["no axis", "too few rows"])
def test_a_corrector_that_fits_alone_and_not_in_company_costs_the_correction(graph) -> None:
    rows = [random_rows(1), random_rows(1, 1)]

    answers = Pipeline(Recorder(), mixes=True).run([Request(x, Version(1, graph)) for x in rows])

    assert [False, False] == [answer.corrected for answer in answers]
    assert all(np.array_equal(x, out) for x, out in zip(rows, first(answers), strict=True))


def test_a_corrector_that_fails_on_one_caller_still_corrects_its_neighbour() -> None:
    graph = Poisoned(0.5)
    good, bad = random_rows(2), -random_rows(2, 1)

    answers = Pipeline(Recorder(), mixes=True).run([Request(good, Version(1, graph)), Request(bad, Version(1, graph))])

    assert [True, False] == [answer.corrected for answer in answers]
    assert np.array_equal(good * np.float32(0.5), answers[0].outputs[0])
    assert np.array_equal(bad, answers[1].outputs[0])


def test_a_failing_frozen_model_is_an_error_and_no_answer() -> None:
    with pytest.raises(SessionError):
        Pipeline(Broken(), mixes=True).run([Request(random_rows(1), PLAIN)])


def test_the_tiny_model_gives_each_row_the_same_bits_in_any_batch(tiny_onnx) -> None:
    assert mixes_exactly(OnnxSession(tiny_onnx, threads=2), random_rows(16))


def test_a_model_that_is_too_slow_to_compare_does_not_mix_callers(tiny_onnx) -> None:
    seconds = count(step=3)

    assert not mixes_exactly(OnnxSession(tiny_onnx, threads=2), random_rows(16), clock=lambda: next(seconds))


def test_single_rows_that_take_too_long_end_the_comparison_before_all_were_run() -> None:
    slow = Recorder()

    assert not mixes_exactly(slow, random_rows(32), clock=lambda: float(sum(slow.runs)))
    assert sum(slow.runs) < 10


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(lambda x: np.asarray(x.mean()), id="a_number"),
        pytest.param(lambda x: np.zeros(1), id="one_entry_for_all_rows"),
        pytest.param(lambda x: np.zeros((1, len(x))), id="rows_along_another_axis"),
        pytest.param(lambda x: np.zeros((len(x), len(x))), id="rows_as_long_as_there_are_rows"),
    ],
)
def test_a_model_with_an_output_that_has_no_entry_a_row_does_not_mix_callers(extra) -> None:
    assert not mixes_exactly(Scoring(extra), random_rows(4))


def test_a_model_that_looks_at_its_neighbours_is_found_out() -> None:
    class Nosy(Recorder):
        def run(self, x: Array) -> list[Array]:
            return [x - x.mean(axis=0)]

    assert not mixes_exactly(Nosy(), random_rows(4))


def test_a_graph_is_loaded_from_bytes_and_refused_when_it_is_none() -> None:
    with pytest.raises(SessionError):
        OnnxSession(b"no graph", threads=1)
