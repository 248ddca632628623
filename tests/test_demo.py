"""The demo, as a stranger runs it: over HTTP, in processes of its own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from foreoptic.demo_target import POSTED, load_target


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> dict:
    home = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "foreoptic", "demo", "--json", "--seed", "1"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "FOREOPTIC_HOME": str(home)},
    )
    return json.loads(done.stdout)


def test_the_frozen_model_fails_on_the_target_and_recovers_from_one_unlabelled_batch(result) -> None:
    assert result["before"] < 30
    assert result["after"] >= 90
    assert result["verdict"] == "promote"
    assert result["version"] == 1


def test_the_frozen_bytes_are_the_same_before_and_after_in_the_answers_and_on_disk(result) -> None:
    assert result["frozen_sha256_before"] == result["frozen_sha256_after"]
    assert result["frozen_file_unchanged"] is True


def test_the_picture_is_where_the_demo_says(result) -> None:
    with open(result["report"], "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def test_what_is_measured_was_not_posted_and_both_move_with_the_seed() -> None:
    first, again, second = load_target(0), load_target(0), load_target(1)

    assert (len(first.posted), len(first.measured)) == (POSTED, 1797 - POSTED)
    assert np.array_equal(first.posted, again.posted)
    assert not np.array_equal(first.posted, second.posted)
