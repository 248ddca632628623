"""Which rows there are, in the order of the report, and what was printed of them elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from trainer.studies.calibrator import contenders, tutorial
from trainer.studies.calibrator.attempts import Contender

Group = Literal["frozen", "changed", "tutorial"]
"""The frozen model stays as it is; a copy of it is changed; the classifier is the tutorial's."""


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        seeds: the most that it is run for; None for as many as are asked for.
        pairs: of which it is a row; empty for all.
    """

    name: str
    group: Group
    contender: Contender
    seeds: int | None = None
    pairs: tuple[str, ...] = ()


FROZEN = "frozen model alone"
ORACLE = "the same net trained on the target's labels"
OURS_FEW, OURS = "calibrator, a batch", "calibrator, all"
TUTORIAL_FROM = "tutorial: source only"

ROWS = (
    Row(FROZEN, "frozen", contenders.uncorrected, seeds=1),
    Row("homogenizer, a batch, no source image", "frozen", contenders.homogenized(few=True)),
    Row(OURS_FEW, "frozen", contenders.calibrated(few=True)),
    Row(OURS, "frozen", contenders.calibrated(few=False)),
    Row(
        "calibrator, all, no game",
        "frozen",
        contenders.calibrated(few=False, feature_weight=0.0, pixel_weight=0.0),
        seeds=1,
    ),
    Row("calibrator, all, no recognition", "frozen", contenders.calibrated(few=False, recognise=False), seeds=1),
    Row(
        "calibrator, all, answers may be unsure",
        "frozen",
        contenders.calibrated(few=False, sureness_weight=0.0),
        seeds=1,
    ),
    Row("the paper's calibrator, frozen", "frozen", contenders.paper(follow=False), seeds=1),
    Row("the paper's calibrator, classifier follows", "changed", contenders.paper(follow=True), seeds=1),
    Row("BN adaptation, a batch", "changed", contenders.bn_adapted(source_images=0)),
    Row("BN adaptation, a batch, source counts as 512", "changed", contenders.bn_adapted(source_images=512)),
    Row(ORACLE, "changed", contenders.oracle, seeds=1),
    Row(TUTORIAL_FROM, "tutorial", tutorial.source_only, pairs=("mnist-usps",)),
    Row("CycleGAN, fine-tuned", "tutorial", tutorial.cyclegan, seeds=1, pairs=("mnist-usps",)),
    Row("DANN", "tutorial", tutorial.dann, pairs=("mnist-usps",)),
    Row("Deep CORAL", "tutorial", tutorial.coral, pairs=("mnist-usps",)),
    Row("calibrator in front of it", "tutorial", tutorial.calibrated_tutorial, pairs=("mnist-usps",)),
    Row("calibrator in front of CycleGAN's", "tutorial", tutorial.calibrated_stylised, seeds=1, pairs=("mnist-usps",)),
)

PRINTED: Mapping[str, Mapping[str, tuple[float | None, float]]] = {
    "mnist-usps": {
        "the paper's calibrator, classifier follows": (None, 95.6),
        "calibrator in front of CycleGAN's": (None, 97.1),
        TUTORIAL_FROM: (98.56, 74.14),
        "CycleGAN, fine-tuned": (98.80, 89.79),
        "DANN": (99.17, 94.27),
        "Deep CORAL": (99.30, 90.38),
    },
    "usps-mnist": {"the paper's calibrator, classifier follows": (None, 97.1)},
    "svhn-mnist": {"the paper's calibrator, classifier follows": (None, 97.1)},
}
"""Source and target accuracy in percent in the paper's table 1 and in the tutorial, of other classifiers than ours."""


def rows_of(pair: str, only: Sequence[str] = (), *, groups: Sequence[Group] = ()) -> tuple[Row, ...]:
    """The rows of a pair; of some groups, or of some names, if any are given.

    Raises:
        ValueError: a name that no row has.
    """
    known = [row for row in ROWS if not row.pairs or pair in row.pairs]
    names = {name.lower() for name in only}
    if unknown := names - {row.name.lower() for row in known}:
        raise ValueError(
            f"no row is called {', '.join(sorted(unknown))}; there are {', '.join(row.name for row in known)}"
        )
    return tuple(
        row for row in known if (not names or row.name.lower() in names) and (not groups or row.group in groups)
    )
