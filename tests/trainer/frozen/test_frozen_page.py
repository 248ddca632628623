"""The page of what can be read says what the operator table says."""

from pathlib import Path

import pytest

from trainer.frozen import operators
from trainer.studies.frozen_models.checks import Reading
from trainer.studies.frozen_models.exporters import Export
from trainer.studies.frozen_models.page import operator_table, readings_table, with_part

PAGE = (Path(__file__).parents[3] / "docs" / "frozen-models.md").read_text(encoding="utf-8")


def test_the_page_lists_the_operators_that_are_there() -> None:
    assert with_part(PAGE, "operators", operator_table()) == PAGE, (
        "the table of operators is out of date; run python -m trainer.studies.frozen_models --operators"
    )


def test_every_operator_and_version_stands_in_the_table_once() -> None:
    rows = [line.split("|") for line in operator_table().splitlines()[2:]]
    listed = sorted(
        (domain, name, int(version))
        for _, label, versions, *_ in rows
        for domain, _, name in [label.strip(" `").rpartition("::")]
        for version in versions.split(",")
    )

    assert tuple(listed) == operators.entries()


def test_readings_that_agree_share_a_line() -> None:
    readings = [
        *(Reading("VGG", Export("tracing", opset), taps=6, parity=1e-7, gradient=2e-6) for opset in (13, 14, 15, 17)),
        Reading("VGG", Export("tracing", 17, "none"), taps=6, parity=3e-7, gradient=1e-6),
    ]

    table = readings_table(readings)

    assert "| VGG | tracing | 13–15, 17 | none; n | none | 6 | 3e-07 | 2e-06 |" in table
    assert "Nothing is refused" in table


def test_a_reading_that_fails_is_named_and_in_no_line() -> None:
    beyond = Reading("VGG", Export("tracing", 13), taps=6, parity=1e-3)
    refused = Reading("ViT", Export("torch.export", 18), refusal="node 'a' (Loop)")

    table = readings_table([beyond, refused])

    assert "| VGG |" not in table
    assert "parity 1.0e-03" in table
    assert "node 'a' (Loop)" in table
    assert "Nothing is refused" not in table


def test_a_page_without_its_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="operators: begin"):
        with_part("# Title", "operators", "table")
