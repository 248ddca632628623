"""What importing loads, seen in a fresh interpreter: the rules of the import linter, as they come out in the end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PACKAGE = "import service.contract"
EVERY_MODULE = """
import importlib, pkgutil
import service.contract
for module in pkgutil.iter_modules(service.contract.__path__, "service.contract."):
    importlib.import_module(module.name)
"""
APP = "import service.app"
REPORT = "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"


@pytest.mark.parametrize(
    ("code", "loaded", "never"),
    [
        pytest.param(
            PACKAGE,
            {"service.contract"},
            {"numpy", "pydantic", "onnx", "PIL", "fastapi", "starlette", "torch", "onnxruntime", "sqlalchemy"},
            id="the_contract_itself",
        ),
        pytest.param(
            EVERY_MODULE,
            {"service.contract.manifest", "service.contract.store", "service.contract.pictures"},
            {"fastapi", "starlette", "torch", "onnxruntime", "sqlalchemy", "trainer", "foreoptic", "service.settings"},
            id="every_module_of_the_contract",
        ),
        pytest.param(APP, {"service.app", "onnxruntime"}, {"torch", "trainer", "foreoptic"}, id="the_app"),
    ],
)
def test_importing_does_not_load(code: str, loaded: set[str], never: set[str]) -> None:
    command = [sys.executable, "-c", code + REPORT]

    modules = set(json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60).stdout))

    assert loaded <= modules
    assert never & modules == set()
