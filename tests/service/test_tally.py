"""Counts of versions: bounded in number, whatever is published."""

import time

from prometheus_client import CollectorRegistry, generate_latest

from service.tally import MOST_VERSIONS, OTHER, Failure, Tally, TritonNames


def test_versions_beyond_the_cap_are_counted_together() -> None:
    tally = Tally()

    for version in range(3 * MOST_VERSIONS):
        tally.of("m", version).requests += 1

    counts = dict(tally.items())
    assert len(counts) == MOST_VERSIONS + 1
    assert counts["m", OTHER].requests == 2 * MOST_VERSIONS
    assert sum(each.requests for each in counts.values()) == 3 * MOST_VERSIONS


def test_durations_add_up_in_microseconds_and_failures_by_reason() -> None:
    tally, registry = Tally(), CollectorRegistry()
    registry.register(TritonNames(tally))
    now = time.perf_counter_ns()
    counts = tally.of("m", 3)

    tally.answered(counts, 4, arrived_ns=now - 9_000_000, started_ns=now - 7_000_000, ended_ns=now - 2_000_000)
    tally.failed(counts, Failure.REJECTED, arrived_ns=now)

    lines = generate_latest(registry).decode().splitlines()
    labels = '{model="m",version="3"}'
    assert f"nv_inference_queue_duration_us{labels} 2000.0" in lines
    assert f"nv_inference_compute_infer_duration_us{labels} 5000.0" in lines
    assert f"nv_inference_count{labels} 4.0" in lines
    assert 'nv_inference_request_failure{model="m",reason="REJECTED",version="3"} 1.0' in lines
    assert counts.request_ns >= 9_000_000
