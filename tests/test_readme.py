"""The README's commands run as they stand there, and what it shows is what the program prints."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foreoptic import demo
from foreoptic.demo import Timings, print_result
from tests.conftest import random_rows

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8000"


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture
def desk(tmp_path, tiny_onnx) -> Path:
    """A folder with the files that the README's user has."""
    (tmp_path / "model.onnx").write_bytes(tiny_onnx)
    np.savez(tmp_path / "images.npz", x=random_rows(200), y=np.arange(200) % 4)
    np.savez(tmp_path / "target.npz", x=random_rows(64, 3) * np.float32(0.5))
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "picture.png")
    return tmp_path


def test_the_commands_for_ones_own_model_work_in_their_order(desk) -> None:
    own = [line for line in commands() if not line.startswith("make ")]
    environment = {**os.environ, "FOREOPTIC_HOME": str(desk / "home"), "FOREOPTIC_PORT": "0"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    served: subprocess.Popen[str] | None = None
    outputs = {}
    try:
        for line in own:
            if line == "foreoptic serve":
                served = subprocess.Popen(
                    shlex.split(line), stderr=subprocess.PIPE, text=True, cwd=desk, env=environment
                )
                url = next(word.rstrip(",") for row in served.stderr for word in row.split() if word.startswith("http"))
                environment["FOREOPTIC_URL"] = url
                continue
            words = [word.replace(ADDRESS, environment.get("FOREOPTIC_URL", ADDRESS)) for word in shlex.split(line)]
            done = subprocess.run(words, capture_output=True, text=True, cwd=desk, env=environment)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            outputs[words[1] if words[0] == "foreoptic" else words[0]] = done.stdout
    finally:
        if served is not None:
            served.terminate()
            served.stderr.close()
            served.wait(30)

    assert {"doctor", "register", "adapt", "curl"} == outputs.keys()
    assert "can be registered" in outputs["doctor"]
    assert "reserved taps" in outputs["register"]
    assert "succeeded" in outputs["adapt"]
    assert '"predictions"' in outputs["curl"]


def percent(name: str, shown: str) -> float:
    return float(re.search(rf"^  {name} +([0-9.]+) %", shown, re.MULTILINE).group(1))


def test_the_demo_prints_the_lines_that_the_first_screen_shows(capsys) -> None:
    shown = re.search(r"```text\n(.*?)```", README, re.DOTALL).group(1)
    result = {
        "before": percent("before", shown),
        "after": percent("after", shown),
        "trained_on_target": percent("trained on the target, with labels", shown),
        "verdict": "promote",
        "version": 1,
        "stages": re.search(r"version 1 \((.*?)\)", shown).group(1).split(" + "),
        "reason": re.search(r"version 1 \(.*?\): (.*)", shown).group(1),
        "frozen_sha256_before": re.search(r"before  ([0-9a-f]{64})", shown).group(1),
        "frozen_sha256_after": re.search(r"after   ([0-9a-f]{64})", shown).group(1),
    }
    steps = re.findall(r"^ +([0-9.]+)  (\S.*)$", shown, re.MULTILINE)

    print_result(result, Timings({name: float(seconds) for seconds, name in steps}), Path("report.png"))

    printed = capsys.readouterr().out
    assert [] == [line for line in shown.splitlines() if line not in printed.splitlines()]


def test_the_first_screen_names_the_frozen_model_that_ships() -> None:
    assert demo._frozen_file_sha256() in README


def test_every_file_that_the_documents_link_to_exists() -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{document.name}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text())
        if not (document.parent / target).exists()
    ]

    assert [] == broken
