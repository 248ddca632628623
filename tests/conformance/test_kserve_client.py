"""KServe's own client, unmodified. It cannot share an environment with ours: `make conformance` makes one for it."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SHAPE, TINY, random_rows

PYTHON = os.environ.get("KSERVE_PYTHON")


@pytest.mark.skipif(PYTHON is None, reason="needs KSERVE_PYTHON, an interpreter that has kserve: make conformance")
def test_kserves_client_reads_every_answer(shared_service, bare) -> None:
    script = Path(__file__).with_name("kserve_script.py")
    shape = [3, *SHAPE]

    done = subprocess.run(
        [str(PYTHON), str(script), shared_service.url, TINY, json.dumps(shape)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    found = json.loads(done.stdout.splitlines()[-1])
    expected = bare(random_rows(3))
    assert (found["live"], found["ready"], found["model"]) == (True, True, True)
    np.testing.assert_array_equal(np.float32(found["json"]), expected)
    np.testing.assert_array_equal(np.float32(found["raw"]), expected)
