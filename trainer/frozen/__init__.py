"""Read an ONNX file's bytes as a differentiable torch module that gives exactly what onnxruntime gives.

`load_frozen` is the door; `find_taps` and `batchnorm_statistics` answer from the file alone; the surveys tell all that
`load_frozen` would refuse. The bytes are never written and no path is ever opened.
"""

from trainer.frozen.errors import (
    FrozenError,
    InputMismatch,
    ParityError,
    UnknownTap,
    UnsupportedModel,
    UnsupportedOperator,
)
from trainer.frozen.loading import load_frozen
from trainer.frozen.module import FrozenModel
from trainer.frozen.parity import check_parity, output_shapes
from trainer.frozen.survey import Comparison, OperatorSurvey, OperatorUse, Refusal, survey_operators, survey_parity
from trainer.frozen.taps import batchnorm_statistics, channels_last_taps, find_taps

__all__ = [
    "Comparison",
    "FrozenError",
    "FrozenModel",
    "InputMismatch",
    "OperatorSurvey",
    "OperatorUse",
    "ParityError",
    "Refusal",
    "UnknownTap",
    "UnsupportedModel",
    "UnsupportedOperator",
    "batchnorm_statistics",
    "channels_last_taps",
    "check_parity",
    "find_taps",
    "load_frozen",
    "output_shapes",
    "survey_operators",
    "survey_parity",
]
