"""Hostile files on the command line: nothing is read or run in the user's process before its trial."""

import json

import onnx
import pytest
from onnx import helper
from typer.testing import CliRunner

from foreoptic.cli import app
from tests.attacks.hostile_graphs import FOREIGN, TOO_LARGE, constant, edge, model_of


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.setenv("FOREOPTIC_HOME", str(tmp_path / "home"))

    def run(command: str, content: bytes, *arguments: str):
        file = tmp_path / "patient.onnx"
        file.write_bytes(content)
        return CliRunner().invoke(app, [command, str(file), *arguments])

    return run


def devouring_when_run() -> bytes:
    """Of open sizes, so that loading it is harmless: a run makes a tensor a million times as wide as its input."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Mul", ["shape", "by"], ["size"]),
        helper.make_node("Expand", ["x", "size"], ["wide"]),
        helper.make_node("ReduceMax", ["wide"], ["most"], keepdims=1),
        helper.make_node("Mul", ["x", "most"], ["scaled"]),
        helper.make_node("Flatten", ["scaled"], ["y"]),
    ]
    model: onnx.ModelProto = model_of(nodes, [constant("by", 10**6, 1, 100, 100)])
    model.graph.input[0].CopyFrom(edge("x", ["n", 1, "h", "w"]))
    return model.SerializeToString()


def test_the_doctor_does_not_read_what_is_too_large_to_be_read(invoke) -> None:
    document = json.loads(invoke("doctor", TOO_LARGE["a_hundred_thousand_nodes"], "--json", "--quick").stdout)

    assert "more than 50000 nodes" in document["file"]["problem"]


def test_the_doctor_reads_what_is_only_foreign(invoke) -> None:
    document = json.loads(invoke("doctor", FOREIGN["unknown_domain"], "--json", "--quick").stdout)

    assert document["file"]["nodes"] == 2
    assert "com.example" in document["outputs"]["problem"]


@pytest.mark.parametrize(
    "arguments", [("doctor", "--json", "--quick"), ("register", "--name", "m")], ids=["doctor", "register"]
)
def test_a_file_of_open_sizes_is_first_run_in_a_process_of_its_own(invoke, arguments) -> None:
    command, *options = arguments

    done = invoke(command, devouring_when_run(), *options, "--size", "8x8")

    words = " ".join((done.stdout + done.stderr).split())
    assert done.exit_code == 1
    assert "in its first run in a process of its own" in words
