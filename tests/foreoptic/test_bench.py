"""`foreoptic bench harm` as a user types it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from foreoptic.cli import app


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "harm"


def bench(out: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["bench", "harm", "--out", str(out), *words])


def test_a_quick_run_without_any_file_fits_judges_and_reports_and_is_not_done_twice(out: Path) -> None:
    words = ("--quick", "--kinds", "too-small,junk", "--sizes", "8", "--judged", "100")

    first = bench(out, *words, "--json")

    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert found["overall"]["all"]["jobs"] == 2
    assert found["overall"]["all"]["failed"] == 0
    assert found["kinds"]["junk"]["harm"]["value"] in (0, 100)
    assert "Left out, for no file was given: mnist, usps, cifar10." in found["notes"]
    assert {file.name for file in out.iterdir()} >= {"records", "harm.md", "harm.csv", "gains.png", "seconds.png"}
    kept = {file.name: file.stat().st_mtime_ns for file in (out / "records").iterdir()}

    again = bench(out, *words)

    assert again.exit_code == 0, again.output
    assert "judging kinds" in again.stdout
    assert kept == {file.name: file.stat().st_mtime_ns for file in (out / "records").iterdir()}


def test_a_report_alone_fits_nothing_and_says_what_is_missing(out: Path) -> None:
    # Batches of three fail at once.
    bench(out, "--kinds", "clean", "--sizes", "3", "--seeds", "1", "--judged", "50")

    done = bench(out, "--kinds", "clean", "--sizes", "3", "--seeds", "2", "--judged", "50", "--report-only")
    nothing = bench(out, "--kinds", "blur", "--sizes", "3", "--report-only")

    assert done.exit_code == 0, done.output
    assert "Incomplete: 1 of 2 jobs are done." in (out / "harm.md").read_text()
    assert len(list((out / "records").iterdir())) == 1
    assert nothing.exit_code == 1
    assert "has no record of these jobs" in nothing.stderr


def test_records_of_another_state_of_the_program_are_said_to_be(out: Path) -> None:
    words = ("--kinds", "clean", "--sizes", "3", "--seeds", "1", "--judged", "50")
    bench(out, *words)
    (file,) = (out / "records").iterdir()
    facts = json.loads(file.read_text())
    file.write_text(json.dumps({**facts, "program": "yesterday"}))

    done = bench(out, *words)

    assert "1 of 1 records were made by another state of the program" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kinds", "fog"), "no kind 'fog'; known: clean"),
        (("--materials", "svhn"), "no material 'svhn'; known: mnist"),
        (("--materials", "cifar10"), "material 'cifar10' needs a file; give it with --cifar10"),
        (("--sizes", "16,none"), "--sizes takes whole numbers above 0, separated by commas, got '16,none'"),
        (("--preset", "fast"), "no preset 'fast'"),
        (("--judged", "5000", "--kinds", "clean"), "5000 images to judge on leave none of 1797"),
    ],
    ids=lambda words: words[1] if isinstance(words, tuple) else "",
)
def test_what_cannot_be_run_is_refused_in_one_line(out: Path, words: tuple[str, ...], message: str) -> None:
    done = bench(out, *words)

    assert done.exit_code == 1
    assert message in done.stderr
    assert not out.exists()
