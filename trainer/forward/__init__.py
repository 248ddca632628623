"""Correctors fitted without a gradient and without torch: numpy in front of onnxruntime, statistics out of it.

`search.py` is the fit from top to bottom, `tap_graph.py` what it asks of the frozen model, `families.py` what it fits,
`levenberg_marquardt.py` how. For models that no gradient leads through, and for shifts that a few numbers undo.
"""

from trainer.forward.families import Family, Part, apply, families, stages
from trainer.forward.levenberg_marquardt import Limits, Minimum, Residuals, minimise
from trainer.forward.search import Config, Found, Outcome, search
from trainer.forward.tap_graph import TapGraph, TapGraphError, tap_model

__all__ = [
    "Config",
    "Family",
    "Found",
    "Limits",
    "Minimum",
    "Outcome",
    "Part",
    "Residuals",
    "TapGraph",
    "TapGraphError",
    "apply",
    "families",
    "minimise",
    "search",
    "stages",
    "tap_model",
]
