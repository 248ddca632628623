"""Records are made once, resumed, and summed up as they are; what the paper printed stands beside its own rows."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from tests.trainer.homogenization.conftest import PLAN, SIZES
from trainer.homogenization import Paper
from trainer.studies.homogenization.anchors import TABLES, printed
from trainer.studies.homogenization.figures import draw_pictures
from trainer.studies.homogenization.protocol import PLANS, Sizes
from trainer.studies.homogenization.report import to_csv, to_markdown
from trainer.studies.homogenization.rows import (
    ABLATIONS,
    BASELINES,
    DEFAULT,
    DISTORTED,
    TRUE,
    Row,
    Table,
    every_row,
    tables,
)
from trainer.studies.homogenization.runs import METRICS, Record, find_record, key_of, pictures_of, run_all
from trainer.studies.homogenization.tables import lines_of

ROWS = every_row(tables(PLAN, SIZES), ["NN ALL", "criterion"])


def quiet(share: float, words: str) -> None: ...


def record(name: str, draw: int, validation: float, **changed) -> Record:
    facts = dict.fromkeys(METRICS, 50.0) | {"validation": validation, **changed}
    setting = "baseline" if name in (TRUE, DISTORTED) else "supervised"
    return Record(name=name, setting=setting, draw=draw, seconds=1.0, key="x", **facts)


@pytest.mark.parametrize("dataset", PLANS)
def test_every_row_of_the_papers_tables_is_there_under_the_papers_name(dataset: str) -> None:
    for table in tables(PLANS[dataset], Sizes()):
        if table.number is not None:
            ours = {row.name for row in table.rows} - {DEFAULT, TRUE, DISTORTED}
            by_class = table.number != 1
            theirs = {name for name in TABLES[table.number] if by_class or not name.endswith("CC")}
            assert ours == theirs - {TRUE, DISTORTED}


def test_the_rows_have_the_papers_settings() -> None:
    rows = {(row.setting, row.name): row.config for row in every_row(tables(PLANS["cifar10"], Sizes()))}

    assert rows["supervised", "NN ALL"] == Paper("all_taps", stats_weight=10, criterion_weight=1)
    assert rows["supervised", "RP CC"] == Paper(
        "random_projection", class_conditional=True, stats_weight=10, criterion_weight=1
    )
    assert rows["supervised", "CRITERION"] == Paper(None, criterion_weight=1)
    assert rows["unsupervised", "NN"] == Paper("penultimate", stats_weight=1)


def test_some_rows_can_be_asked_for_with_what_they_begin_from() -> None:
    names = [(row.setting, row.name) for row in ROWS]

    assert names[:2] == [("baseline", TRUE), ("baseline", DISTORTED)]
    assert set(names[2:]) == {("supervised", "CRITERION"), ("supervised", "NN ALL"), ("unsupervised", "NN ALL")}
    with pytest.raises(ValueError, match="no row is called NN TWO; there are CRITERION"):
        every_row(tables(PLAN, SIZES), ["NN TWO"])


def test_every_method_makes_a_record_with_numbers_that_mean_something(bench) -> None:
    records = run_all(bench, every_row(tables(PLAN, SIZES, ablate=True)), range(1), quiet)

    # Baselines; supervised and unsupervised rows, this project's among them; its ablations.
    assert len(records) == 2 + 10 + 5 + len(ABLATIONS)
    for found in records:
        percents = (found.accuracy, found.validation, found.verification, found.ssim)
        assert all(0 <= percent <= 100 + 1e-9 for percent in percents), found
        assert found.l2_error >= 0
        # The verifier is the same net here.
        assert found.verification == found.validation
    true = records[0]
    assert (true.name, true.l2_error, true.psnr) == (TRUE, 0, None)
    assert true.ssim == pytest.approx(100)
    assert records[1].l2_error > 0.3


def test_an_interrupted_study_goes_on_where_it_was(bench) -> None:
    class Stop(Exception): ...

    def interrupted(share: float, words: str) -> None:
        if "unsupervised" in words:
            raise Stop

    with pytest.raises(Stop):
        run_all(bench, ROWS, range(1), interrupted)
    kept = {file.name: file.stat().st_mtime_ns for file in bench.folder.iterdir()}
    told: list[str] = []

    records = run_all(bench, ROWS, range(1), lambda share, words: told.append(words))

    assert len(records) == 5
    assert {name: (bench.folder / name).stat().st_mtime_ns for name in kept} == kept
    # A fit tells its epochs; only the one that was missing was done.
    assert {words.split(":")[0] for words in told if ":" in words} == {"draw 0, unsupervised NN ALL"}


def test_a_record_made_again_has_the_same_numbers(bench) -> None:
    (row,) = (row for row in ROWS if (row.setting, row.name) == ("supervised", "NN ALL"))
    first, second = (run_all(b, (row,), range(1), quiet)[0] for b in (bench, replace(bench, folder=bench.folder / "2")))

    assert replace(first, seconds=0) == replace(second, seconds=0)
    np.testing.assert_array_equal(
        pictures_of(bench, first), pictures_of(replace(bench, folder=bench.folder / "2"), second)
    )


def test_a_fit_that_diverges_is_a_record_like_any_other(bench, tmp_path) -> None:
    row = Row("NN ALL", "supervised", Paper(rate=1e25, epochs=2, batch=16))

    records = run_all(bench, (*BASELINES, row), range(1), quiet)
    draw_pictures(bench, records, tmp_path / "shown.png")

    assert find_record(bench, row, 0) == records[-1]
    assert (records[-1].l2_error, records[-1].psnr, records[-1].ssim) == (None, None, None)
    assert 0 <= records[-1].validation <= 100
    assert lines_of(Table(4, "", (row,)), records)[0].cells()[3] == "- (9.5 ± 1.7)"


def test_a_record_is_named_by_what_it_depends_on(bench) -> None:
    row = ROWS[-1]
    others = [
        replace(bench, kappa=0.1),
        replace(bench, sizes=replace(SIZES, epochs=2)),
        replace(bench, material=replace(bench.material, digest="0" * 64)),
    ]

    keys = {key_of(b, row, 0) for b in (bench, *others)} | {key_of(bench, row, 1), key_of(bench, ROWS[-2], 0)}

    assert len(keys) == 6
    assert find_record(bench, row, 0) is None


def test_a_line_is_mean_and_sample_deviation_with_the_papers_figure_and_what_came_back() -> None:
    records = [record(TRUE, d, 100.0) for d in (0, 1)] + [record(DISTORTED, d, 20.0) for d in (0, 1)]
    records += [record("CRITERION", 0, 60.0, psnr=None), record("CRITERION", 1, 92.0, psnr=10.0)]

    true, distorted, line = lines_of(Table(4, "", (*BASELINES, ROWS[2])), records)

    assert (line.name, line.draws) == ("CRITERION", 2)
    assert line.ours["validation"].mean == 76
    assert line.ours["validation"].deviation == pytest.approx(32 / 2**0.5)
    assert line.ours["psnr"] == (10.0, None)
    assert line.paper["validation"] == (97.7, 0.0)
    assert line.regained == pytest.approx((50, 90))
    assert true.regained == distorted.regained == ()


def test_a_row_that_the_paper_does_not_have_has_no_figure_of_the_paper() -> None:
    assert printed(None, "NN ALL") == {}
    assert printed(3, "CRITERION") == {}
    assert printed(3, "NN ALL")["validation"] == (84.5, 0.7)


def test_report_and_pictures_show_every_record(bench, tmp_path) -> None:
    records = run_all(bench, ROWS, range(2), quiet)
    found = tables(PLAN, SIZES)

    page = to_markdown(bench, found, records, pictures=["shown.png"])
    draw_pictures(bench, records[:3], tmp_path / "shown.png")

    assert "## Table 4: supervised" in page
    assert "97.7 ± 0.0" in page, "the paper's figure"
    assert page.count("| CRITERION |") == 1
    assert "draw 1" in page
    assert "(shown.png)" in page
    lines = to_csv(records).splitlines()
    assert len(lines) == 1 + len(records)
    assert lines[0].split(",") == list(asdict(records[0]))
    with Image.open(tmp_path / "shown.png") as picture:
        assert picture.width > picture.height > 0
