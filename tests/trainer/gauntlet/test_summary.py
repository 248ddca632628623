"""What counts as harm, as missed, as kept: by hand-made records."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainer.gauntlet.gauntlet_case import record, verdict
from trainer.studies.gauntlet.figures import draw_all
from trainer.studies.gauntlet.jobs import Terms
from trainer.studies.gauntlet.records import Fitted
from trainer.studies.gauntlet.report import kinds_table, to_csv, to_json, to_markdown
from trainer.studies.gauntlet.summary import by_size, harms, misses, overall, poisoned, summarise


@pytest.mark.parametrize(
    ("gain", "decision", "is_harm"),
    [
        (-0.6, "promote", True),
        (-0.5, "promote", False),
        (3.0, "promote", False),
        (-9.0, "hold", False),
        (-9.0, "reject", False),
        (None, "hold", False),
        (None, "failed", False),
    ],
)
def test_harm_is_a_promotion_more_than_half_a_point_below_the_identity(gain, decision, is_harm) -> None:
    assert harms(record(gain, decision)) is is_harm


def test_half_a_point_is_no_harm_whatever_the_accuracies_are() -> None:
    # Of 1,000 images; neither difference is what a float makes of it.
    assert not any(harms(record(identity=hits / 10, candidate=(hits - 5) / 10)) for hits in range(5, 1001))
    assert all(harms(record(identity=hits / 10, candidate=(hits - 6) / 10)) for hits in range(6, 1001))


@pytest.mark.parametrize(
    ("gain", "decision", "kind", "is_missed"),
    [
        (2.1, "hold", "blur", True),
        (2.1, "reject", "blur", True),
        (2.0, "hold", "blur", False),
        (2.1, "promote", "blur", False),
        (None, "hold", "blur", False),
        (9.0, "hold", "outliers-10", False),
    ],
)
def test_missed_is_more_than_two_points_that_were_not_promoted_of_a_batch_that_is_not_hostile(
    gain, decision, kind, is_missed
) -> None:
    assert misses(record(gain, decision, kind=kind)) is is_missed


def test_a_summary_counts_each_share_of_what_it_is_a_share_of() -> None:
    records = [
        record(10.0, "promote"),
        record(10.0, "hold"),
        record(1.0, "hold"),
        record(-4.0, "promote"),
        record(None, "hold", kind="clean"),
        record(0.1, "promote", kind="clean"),
        record(None, "failed", kind="clean", problem="too few"),
        record(30.0, "hold", kind="junk", seconds=10.0),
    ]

    found = summarise(records)

    assert (found.jobs, found.failed, found.worst) == (8, 1, -4.0)
    assert found.promoted[::3] == (100 * 3 / 8, 8)
    assert found.harm[::3] == (100 / 8, 8)
    assert found.missed[::3] == (50, 2)
    assert found.kept[::3] == (pytest.approx(100 * 2 / 3), 3)
    assert found.gain.value == pytest.approx((10 - 4 + 0.1) / 8)
    assert (found.seconds.value, found.slow.value) == (2, pytest.approx(np.quantile([2] * 7 + [10], 0.95)))
    assert found.forecast_error is found.forecast_rank is found.accepted is found.gain_kept is None


def test_a_forecast_is_held_against_what_the_candidate_gains_promoted_or_not() -> None:
    pairs = [(10.0, 12.0), (-3.0, -2.0), (0.0, 5.0), (4.0, 4.0)]
    records = [record(gain, "hold", forecast=forecast) for gain, forecast in pairs] + [record(50.0)]

    found = summarise(records)

    assert (found.forecast_error.value, found.forecast_error.jobs) == (pytest.approx(1.5), 4)
    assert found.forecast_rank.value == pytest.approx(0.8)


def test_against_an_offline_fit_count_only_jobs_that_it_helps() -> None:
    def offline(gain: float) -> Fitted:
        return Fitted(verdict=verdict("promote"), candidate=80 + gain, seconds=60)

    records = [
        record(9.0, "promote", offline=offline(10)),
        record(8.0, "hold", offline=offline(10)),
        record(4.0, "promote", offline=offline(20), images=63),
        record(1.0, "promote", offline=offline(1)),
        record(1.0, "promote"),
    ]

    found = summarise(records)

    assert found.gain_kept[::3] == (pytest.approx(80), 3)
    assert found.accepted[::3] == (50, 2)


def test_poison_is_held_against_the_same_job_without_it() -> None:
    def job(gain, decision, kind, seed, size=512):
        return record(gain, decision, kind=kind, seed=seed, size=size)

    records = [
        *(job(10.0, "promote", "unpoisoned", seed) for seed in (0, 1, 2)),
        job(7.0, "promote", "outliers-10", 0),
        job(9.0, "promote", "outliers-10", 1),
        job(3.0, "hold", "outliers-10", 2),
        job(-50.0, "promote", "outliers-10", 3),
        job(-50.0, "promote", "outliers-10", 0, size=64),
        job(-50.0, "promote", "look-alikes-1", 4),
        job(-50.0, "promote", "blur", 0),
    ]

    (row,) = poisoned(records)

    assert (row.kind, row.worst) == ("outliers-10", 10)
    assert row.cost[::3] == (pytest.approx((3 + 1 + 10) / 3), 3)
    # The third lost more, but because it was held.
    assert row.harmed[::3] == (pytest.approx(100 / 3), 3)


def test_sizes_are_compared_on_what_was_done_at_every_size() -> None:
    records = [
        record(1.0, size=16),
        record(3.0, size=512),
        record(90.0, size=512, seed=1),
        record(90.0, size=16, kind="too-small"),
    ]

    assert [(size, [r.gain for r in group.records]) for size, group in by_size(records)] == [(16, [1]), (512, [3])]
    assert by_size(records[1:]) == []


def test_groups_are_materials_judging_kinds_and_right_answers() -> None:
    records = [record(kind="clean"), record(kind="blur"), record(kind="blur", title="USPS"), record(kind="junk")]

    found = {group.name: len(group.records) for group in overall(records)}

    assert found == {
        "all": 4,
        "MNIST test": 3,
        "USPS": 1,
        "judging kinds": 3,
        "right answer: clean": 1,
        "right answer: shift": 2,
        "right answer: hostile": 1,
    }


def every_sort() -> list:
    forecast = {"forecast": 3.0}
    offline = Fitted(verdict=verdict("promote"), candidate=90, seconds=60)
    return [
        *(record(4.0 - seed, seed=seed, size=size, **forecast) for seed in range(3) for size in (16, 512)),
        record(-7.25, kind="outliers-10", offline=offline, title="USPS", material="usps"),
        record(2.0, kind="unpoisoned", title="USPS", material="usps"),
        record(None, "hold", kind="clean"),
        record(None, "failed", kind="junk", problem="ExportError: it cannot be"),
    ]


def test_the_page_has_every_table_and_names_what_did_harm_and_what_failed(tmp_path) -> None:
    records = every_sort()

    pictures = draw_all(records, tmp_path)
    page = to_markdown(records, Terms(offline="slow"), notes=["Read this."], pictures=pictures)

    assert pictures == ["gains.png", "shares.png", "sizes.png", "forecasts.png", "seconds.png"]
    for name in pictures:
        assert f"({name})" in page
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 300
    titles = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert titles == [
        "Overall",
        "MNIST test, kind by kind",
        "USPS, kind by kind",
        "By number of images",
        "Poison",
        "Against the offline fit",
        "Jobs that did harm",
        "Jobs that failed",
    ]
    assert "Read this." in page
    assert "| usps outliers-10, 512 images, seed 0 | 80.0 | 72.8 | -7.2 | filter | sigma 1 |" in page
    assert "| mnist junk, 512 images, seed 0 | ExportError: it cannot be |" in page


def test_a_picture_of_what_is_no_longer_there_does_not_stay(tmp_path) -> None:
    draw_all(every_sort(), tmp_path)

    pictures = draw_all([record()], tmp_path)

    assert sorted(pictures) == sorted(file.name for file in tmp_path.iterdir())
    assert "forecasts.png" not in pictures


def test_the_csv_has_a_line_a_record_and_the_json_the_summaries() -> None:
    records = every_sort()

    lines = list(csv.DictReader(to_csv(records).splitlines()))
    found = to_json(records)

    assert len(lines) == len(records)
    assert (lines[6]["kind"], lines[6]["gain"], lines[6]["offline_candidate"]) == ("outliers-10", "-7.25", "90.0")
    assert (lines[-1]["decision"], lines[-1]["candidate"]) == ("failed", "")
    assert found["overall"]["all"]["harm"]["value"] == 10
    assert found["kinds"]["clean"]["kept"] == pytest.approx(
        {"value": 100, "low": 20.65, "high": 100, "jobs": 1}, abs=0.1
    )
    assert set(found["sizes"]) == {"16", "512"}
    assert found["poisoned"][0]["kind"] == "outliers-10"


def test_the_page_of_the_documents_lists_every_kind() -> None:
    page = Path(__file__).parents[3] / "docs" / "gauntlet.md"

    assert kinds_table() in page.read_text()
