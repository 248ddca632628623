"""What the benchmarks measure is what is served."""

import numpy as np
import pytest

from benchmarks.serving.limit import Limit, merged
from benchmarks.serving.load import Load, Payload
from benchmarks.serving.open_loop import drive_open
from benchmarks.serving.pair import make_pair
from benchmarks.serving.process import peer
from benchmarks.serving.questions import Question, Seen
from benchmarks.serving.report import summarise, write_markdown
from service.engine.session import OnnxSession
from trainer.frozen import find_taps


def test_the_merged_graph_computes_what_the_two_of_the_pair_do() -> None:
    pair, x = make_pair(), np.random.default_rng(0).random((3, 1, 28, 28), dtype=np.float32)
    corrector, frozen, joint = (
        OnnxSession(content, threads=1) for content in (pair.corrector, pair.frozen, merged(pair))
    )

    np.testing.assert_allclose(joint.run(x)[-1], frozen.run(corrector.run(x)[0])[0], rtol=1e-5, atol=1e-6)


def test_a_network_of_two_convolutions_is_compared_at_its_hidden_dense_layer_too_and_not_at_its_scores() -> None:
    assert find_taps(make_pair().frozen) == ("conv_0", "conv_1", "hidden")


@pytest.fixture
def floor():
    with peer("floor") as server:
        yield server


def test_an_open_loop_sends_what_is_asked_for_and_counts_from_when_it_was_due(floor) -> None:
    payload = Payload("any", "/", b"x" * 100, {})

    load = drive_open(floor.url, payload, per_s=200.0, seconds=1.0)

    assert load.failed == 0
    assert 0 < load.p50_ms <= load.p99_ms
    assert 100 < load.rate < 300


def test_what_a_server_uses_is_read_from_its_own_process(floor) -> None:
    before = floor.cpu_s()

    drive_open(floor.url, Payload("any", "/", b"", {}), per_s=500.0, seconds=1.0)

    assert floor.cpu_s() > before
    assert floor.memory_mib() > 10


def test_a_table_has_medians_of_ratios_within_rounds(tmp_path) -> None:
    question = Question("foreoptic", "v2 binary", 16)
    rounds = [
        (Limit(best=best, one=1.0, p50_ms=1.0), {question: Seen(Load(rate, 2.0, 4.0, failed), 10.0, 50.0)})
        for best, rate, failed in ((100.0, 50.0, 0), (1000.0, 700.0, 1), (10.0, 1.0, 0))
    ]

    (row,) = summarise(rounds)
    write_markdown([row], tmp_path / "table.md")

    assert (row["of_best"], row["p50_of_raw"], row["failed"]) == (0.5, 2.0, 1)
    assert "| foreoptic | v2 binary | 16 clients | 50 | 0.50 |" in (tmp_path / "table.md").read_text()
