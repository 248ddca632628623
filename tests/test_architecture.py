"""The rules of the house that the import linter cannot see."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

ROOT = Path(__file__).parent.parent


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import service.contract", {"fastapi", "starlette", "torch", "onnxruntime", "sqlalchemy", "trainer"}),
        ("import service.app", {"torch", "trainer", "foreoptic"}),
        ("import service.jobs.__main__", {"torch", "trainer", "foreoptic", "fastapi"}),
        ("import foreoptic.cli", {"torch", "trainer"}),
        ("import trainer.__main__", {"torch", "fastapi", "onnxruntime"}),
    ],
)
def test_importing_a_part_costs_only_that_part(statement, forbidden) -> None:
    assert set() == loaded_by(statement) & forbidden


def test_the_models_folder_holds_data_only() -> None:
    assert [] == [str(file) for file in (ROOT / "models").rglob("*.py*")]


def test_the_frozen_models_that_ship_carry_no_notes_of_their_exporter() -> None:
    for file in (ROOT / "models").rglob("*.onnx"):
        model = onnx.load_model_from_string(file.read_bytes())
        parts = (model, model.graph, *model.graph.node)

        assert all(not part.metadata_props and not part.doc_string for part in parts), file.name


def test_only_settings_and_what_starts_processes_read_the_environment() -> None:
    readers = {
        str(file.relative_to(ROOT))
        for package in ("service", "trainer")
        for file in (ROOT / package).rglob("*.py")
        if "os.environ" in file.read_text() or "getenv" in file.read_text()
    }

    switches = {"service/__init__.py", "trainer/__init__.py"}
    assert {"service/jobs/runner.py", "service/jobs/supervisor.py", *switches} == readers


@pytest.mark.parametrize("package", ["service", "trainer"])
@pytest.mark.parametrize(("given", "recorded"), [({}, False), ({"ORT_DISABLE_TELEMETRY": "0"}, True)])
def test_onnxruntime_records_no_usage_unless_it_is_told_to(package, given, recorded, tmp_path) -> None:
    model = ROOT / "models" / "digits" / "model.onnx"
    code = f"import {package}, onnxruntime; onnxruntime.InferenceSession({str(model)!r})"
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}

    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env={**home, **given})

    assert recorded == any(tmp_path.rglob("*"))


def test_one_file_of_the_service_knows_onnxruntime() -> None:
    users = [file.name for file in (ROOT / "service").rglob("*.py") if "import onnxruntime" in file.read_text()]

    assert ["session.py"] == users


@pytest.mark.parametrize("word", ["pickle.load", "torch.load", "eval(", "joblib", "yaml.load"])
def test_nothing_is_unpickled_or_evaluated(word) -> None:
    # With weights_only torch reads tensors and plain values, and refuses whatever could run.
    users = [
        str(file)
        for package in ("service", "trainer", "foreoptic")
        for file in (ROOT / package).rglob("*.py")
        for line in file.read_text().splitlines()
        if (line.strip().startswith(word) or f" {word}" in line) and "weights_only=True" not in line
    ]

    assert [] == users
