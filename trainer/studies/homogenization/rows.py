"""What the rows of the paper's tables are: which method with which settings, supervised or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainer.homogenization import Paper
from trainer.methods import homogenizer
from trainer.studies.homogenization.protocol import QUICK, Plan, Sizes

Setting = Literal["baseline", "supervised", "unsupervised", "ablation"]

TRUE, DISTORTED = "Data set B true", "Data set B"
DEFAULT = "FOREOPTIC"
FEATURES = {"NN": "penultimate", "NN ALL": "all_taps", "RANDOM NN": "random_network", "RP": "random_projection"}
"""Order of the paper's tables."""

ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    "no deconvolution": {"racers": 0},
    "no closed form": {"closed_form": False},
    "no pattern": {"pattern": False},
    "one round": {"rounds": 1},
    "no residual": {"residual_rounds": 0},
    "loss not scale-free": {"scale_free": False},
}
"""The default with one choice undone, each by the fields that undo it."""

QUICK_STEPS = {
    "probe": 16,
    "warp_steps": 2,
    "filter_steps": 2,
    "tone_steps": 2,
    "warming_steps": 1,
    "both_steps": 2,
    "race_images": 16,
    "race_passes": 2,
    "rounds": 2,
    "passes": 3,
    "residual_steps": 2,
    "residual_rounds": 1,
}


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        config: None where nothing is corrected.
    """

    name: str
    setting: Setting
    config: Paper | homogenizer.Config | None


@dataclass(frozen=True)
class Table:
    """One table: its number in the paper, or None for what the paper does not have."""

    number: int | None
    title: str
    rows: tuple[Row, ...]


def tables(plan: Plan, sizes: Sizes, *, ablate: bool = False) -> tuple[Table, ...]:
    """The paper's tables of a data set, for MNIST an unsupervised one that it lacks, and ablations if wanted."""
    return (*_printed(plan, sizes), *((_ablations(sizes),) if ablate else ()))


def _printed(plan: Plan, sizes: Sizes) -> tuple[Table, ...]:
    plain, by_class = supervised(plan, sizes, by_class=False), supervised(plan, sizes, by_class=True)
    without = unsupervised(plan, sizes)
    if plan.name == "mnist":
        return (
            Table(4, "supervised", (*BASELINES, *by_class)),
            Table(None, "unsupervised, not in the paper", (*BASELINES, *without)),
        )
    return (
        Table(1, "supervised", (*BASELINES, *plain)),
        Table(2, "supervised, with class-conditional statistics", by_class),
        Table(3, "unsupervised", (*BASELINES, *without)),
    )


BASELINES = (Row(TRUE, "baseline", None), Row(DISTORTED, "baseline", None))


def supervised(plan: Plan, sizes: Sizes, *, by_class: bool) -> tuple[Row, ...]:
    """r_stats L + r_crit cross-entropy; each map also class by class if wanted."""
    rows = [Row("CRITERION", "supervised", _paper(None, plan, sizes, criterion=1.0))]
    for name, features in FEATURES.items():
        rows.append(Row(name, "supervised", _paper(features, plan, sizes, criterion=1.0)))
        if by_class:
            rows.append(Row(f"{name} CC", "supervised", _paper(features, plan, sizes, criterion=1.0, by_class=True)))
    return (*rows, Row(DEFAULT, "supervised", _ours(sizes, criterion_weight=plan.criterion_weight)))


def unsupervised(plan: Plan, sizes: Sizes) -> tuple[Row, ...]:
    """r_crit = 0; and what this project does by default, which knows no labels either."""
    paper = [Row(name, "unsupervised", _paper(map_, plan, sizes, criterion=0.0)) for name, map_ in FEATURES.items()]
    return (*paper, Row(DEFAULT, "unsupervised", _ours(sizes)))


def _ablations(sizes: Sizes) -> Table:
    undone = [Row(name, "ablation", _ours(sizes, **changed)) for name, changed in ABLATIONS.items()]
    return Table(
        None,
        "this project's method, one choice undone",
        (*BASELINES, Row(DEFAULT, "unsupervised", _ours(sizes)), *undone),
    )


def _ours(sizes: Sizes, **changed: Any) -> homogenizer.Config:
    """The default, with a few steps of each fit in a quick run."""
    quick = QUICK_STEPS if sizes == QUICK else {}
    return homogenizer.Config(**{**quick, **changed})


def every_row(found: Sequence[Table], only: Sequence[str] = ()) -> tuple[Row, ...]:
    """All rows once, in order; with `only`, the methods of these names, in capitals or not, and what they begin from.

    Raises:
        ValueError: a name that no table has.
    """
    rows = tuple(dict.fromkeys(row for table in found for row in table.rows))
    wanted, known = {name.upper() for name in only}, {row.name.upper() for row in rows if row.config is not None}
    if wanted - known:
        raise ValueError(f"no row is called {', '.join(sorted(wanted - known))}; there are {', '.join(sorted(known))}")
    return tuple(row for row in rows if not wanted or row.config is None or row.name.upper() in wanted)


def _paper(features: str | None, plan: Plan, sizes: Sizes, *, criterion: float, by_class: bool = False) -> Paper:
    return Paper(
        features=features,
        class_conditional=by_class,
        stats_weight=plan.stats_weight if criterion else 1.0,
        criterion_weight=criterion,
        epochs=sizes.epochs,
    )
