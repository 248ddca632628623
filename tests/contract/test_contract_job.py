"""Job and verdict: what one side writes the other reads, and nonsense is refused."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from service.contract.job import JobOutcome, JobSpec, Progress
from service.contract.verdict import Decision, Forecast, Reason, ReasonCode, Verdict

LAW = settings(deadline=None, max_examples=60)

finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)

verdicts = st.builds(
    Verdict,
    decision=st.sampled_from(Decision),
    reasons=st.lists(st.builds(Reason, code=st.sampled_from(ReasonCode), text=st.text())).map(tuple),
    numbers=st.dictionaries(st.text(), finite, max_size=4),
    forecast=st.none() | st.builds(Forecast, gain=finite, low=finite, high=finite),
)
specs = st.builds(
    JobSpec,
    id=st.text("0123456789abcdef", min_size=32, max_size=32),
    model=names,
    domain=names,
    method=names,
    seed=st.integers(0, 2**63),
    frozen_sha256=digests,
    batch_sha256=digests,
    threads=st.integers(1, 256),
)
steps = st.builds(Progress, share=st.floats(0, 1), step=st.text(), loss=st.none() | finite)
outcomes = st.builds(
    JobOutcome,
    verdict=st.none() | verdicts,
    problem=st.none() | st.text(),
    timings=st.dictionaries(st.text(), finite, max_size=3),
)


@LAW
@given(verdicts | specs | steps | outcomes)
def test_what_is_written_reads_back_as_it_was(message: BaseModel) -> None:
    assert type(message).model_validate_json(message.model_dump_json()) == message


@LAW
@given(steps)
def test_progress_is_one_line(progress: Progress) -> None:
    assert "\n" not in progress.model_dump_json()


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_verdict_with_a_number_that_is_not_finite_can_be_read(value: float) -> None:
    outcome = JobOutcome(verdict=Verdict(decision=Decision.HOLD, reasons=(), numbers={"ratio": value}))

    back = JobOutcome.model_validate_json(outcome.model_dump_json())

    # By text: NaN is not equal to itself.
    assert repr(back) == repr(outcome)


SPEC = {
    "id": "0" * 32,
    "model": "digits",
    "domain": "scanner-b",
    "method": "homogenizer",
    "seed": 0,
    "frozen_sha256": "f" * 64,
    "batch_sha256": "b" * 64,
    "threads": 1,
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("id", "0" * 31, id="short_id"),
        pytest.param("id", "../../../../../../../../../../ab", id="id_is_a_path"),
        pytest.param("id", "0" * 32 + "\n", id="id_with_a_newline"),
        pytest.param("model", "Digits", id="upper_case_model"),
        pytest.param("domain", "a/b", id="domain_is_a_path"),
        pytest.param("method", "", id="no_method"),
        pytest.param("seed", -1, id="negative_seed"),
        pytest.param("frozen_sha256", "f" * 65, id="long_digest"),
        pytest.param("threads", 0, id="no_thread"),
    ],
)
def test_a_job_with_a_field_that_does_not_fit_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        JobSpec(**{**SPEC, field: value})


@pytest.mark.parametrize("share", [-0.01, 1.01, math.nan, math.inf])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(ValidationError):
        Progress(share=share, step="fit")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"decision": "maybe"}, id="unknown_decision"),
        pytest.param({"reasons": [{"code": "bad_mood", "text": ""}]}, id="unknown_reason"),
        pytest.param({"numbers": {"loss": None}}, id="a_number_is_missing"),
        pytest.param({"forecast": {"gain": 1.0}}, id="forecast_without_interval"),
    ],
)
def test_a_verdict_with_a_field_that_does_not_fit_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Verdict.model_validate({"decision": "hold", "reasons": [], "numbers": {}, **fields})
