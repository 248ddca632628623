"""What the paper printed (arXiv 2104.03624, tables 1 to 4): mean and standard deviation over its 5 runs.

Columns as in `runs.METRICS`. Table 2 repeats the rows of table 1. Where the paper gives no deviation, or no number, it
is None. Its tables 1 and 3 are of different draws: the raw results of table 3 start from 49.8 %, table 1 from 26.6 %.
"""

from collections.abc import Mapping
from typing import NamedTuple

from trainer.studies.homogenization.runs import METRICS


class Figure(NamedTuple):
    """One cell."""

    mean: float
    deviation: float | None


def _row(*cells: tuple[float, float | None] | None) -> dict[str, Figure]:
    pairs = zip(METRICS, cells, strict=True)
    return {metric: Figure(*cell) for metric, cell in pairs if cell is not None}


CIFAR10_SUPERVISED = {
    "Data set B true": _row((99.8, None), (93.2, None), (99.8, None), (0.0, None), None, (100.0, None)),
    "Data set B": _row((26.2, None), (26.6, None), (26.0, None), (24.3, None), (16.5, None), (84.0, None)),
    "CRITERION": _row((99.6, 0.4), (77.9, 2.1), (75.9, 2.7), (14.0, 2.7), (18.0, 0.4), (86.7, 2.2)),
    "NN": _row((95.5, 0.6), (83.1, 0.6), (80.8, 0.8), (11.6, 1.6), (19.5, 0.3), (90.1, 0.5)),
    "NN CC": _row((99.9, 0.1), (85.8, 0.7), (83.0, 0.6), (9.9, 2.2), (20.9, 0.6), (92.0, 0.9)),
    "NN ALL": _row((99.3, 0.4), (88.2, 0.6), (84.9, 1.0), (10.0, 2.6), (23.3, 0.3), (95.4, 0.2)),
    "NN ALL CC": _row((99.8, 0.0), (87.8, 0.9), (84.7, 1.0), (12.8, 0.9), (23.7, 0.5), (95.4, 0.4)),
    "RANDOM NN": _row((51.9, 5.0), (48.4, 5.7), (42.7, 4.2), (29.0, 10.6), (11.3, 0.7), (59.6, 4.7)),
    "RANDOM NN CC": _row((55.6, 1.6), (53.0, 2.7), (48.1, 1.9), (38.2, 10.8), (13.5, 0.6), (67.4, 4.3)),
    "RP": _row((51.1, 2.1), (51.0, 1.4), (47.3, 1.1), (76.4, 5.2), (18.1, 0.2), (82.6, 0.6)),
    "RP CC": _row((42.6, 0.9), (42.5, 0.9), (41.4, 1.2), (42.2, 1.7), (17.0, 0.2), (81.5, 0.4)),
}
"""Tables 1 and 2."""

CIFAR10_UNSUPERVISED = {
    "NN": _row((85.6, 1.3), (79.8, 1.7), (76.4, 0.3), (18.1, 2.3), (17.4, 0.7), (85.3, 1.0)),
    "NN ALL": _row((91.8, 0.6), (84.5, 0.7), (83.6, 1.0), (14.1, 2.3), (22.1, 0.6), (94.5, 0.3)),
    "RANDOM NN": _row((57.1, 6.4), (53.2, 4.9), (49.3, 5.4), (34.3, 17.8), (12.1, 0.7), (67.2, 3.4)),
    "RP": _row((47.7, 1.1), (45.8, 1.0), (42.8, 0.9), (36.1, 5.1), (15.5, 0.3), (79.0, 0.7)),
}
"""Table 3."""

MNIST_SUPERVISED = {
    "CRITERION": _row((99.8, 0.0), (97.7, 0.0), (90.4, 0.2), (9.8, 0.1), (15.7, 0.0), (80.6, 0.0)),
    "NN": _row((97.5, 0.2), (98.0, 0.1), (89.7, 1.9), (16.9, 0.5), (18.0, 0.1), (88.5, 0.4)),
    "NN CC": _row((97.9, 0.2), (98.2, 0.1), (97.8, 0.3), (14.3, 1.1), (20.1, 0.4), (91.9, 1.6)),
    "NN ALL": _row((98.3, 0.3), (98.1, 0.3), (98.0, 0.9), (9.5, 1.7), (21.2, 0.1), (90.0, 1.1)),
    "NN ALL CC": _row((97.7, 0.3), (98.3, 0.2), (96.7, 0.4), (13.2, 1.1), (22.2, 0.1), (93.3, 1.0)),
    "RANDOM NN": _row((99.8, 0.0), (97.7, 0.1), (90.3, 0.7), (9.9, 0.3), (15.8, 0.0), (80.7, 0.0)),
    "RANDOM NN CC": _row((99.8, 0.0), (97.8, 0.1), (90.5, 0.4), (10.0, 0.2), (15.8, 0.0), (80.7, 0.0)),
    "RP": _row((99.8, 0.0), (98.0, 0.1), (97.3, 0.1), (7.2, 0.1), (15.3, 0.0), (81.0, 0.0)),
    "RP CC": _row((99.8, 0.0), (97.9, 0.0), (96.6, 0.1), (7.6, 0.2), (15.4, 0.0), (81.0, 0.0)),
}
"""Table 4."""

TABLES: Mapping[int, Mapping[str, Mapping[str, Figure]]] = {
    1: CIFAR10_SUPERVISED,
    2: CIFAR10_SUPERVISED,
    3: CIFAR10_UNSUPERVISED,
    4: MNIST_SUPERVISED,
}


def printed(table: int | None, row: str) -> Mapping[str, Figure]:
    """What the paper has in a table's row; nothing where it has no such row."""
    return {} if table is None else TABLES[table].get(row, {})
