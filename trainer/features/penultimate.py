"""NN: the last tap alone. It is the last convolution's output, before the pooling, as in the authors' code."""

from trainer.features import FeatureMap, Options
from trainer.features.all_taps import Taps
from trainer.task import Task


def build(task: Task, options: Options) -> FeatureMap:  # noqa: ARG001 - every map is built alike
    """The last fitted tap."""
    return Taps(task, task.fitted_taps[-1:])
