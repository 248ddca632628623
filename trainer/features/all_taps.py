"""NN ALL: every tap of the frozen model, raw convolution outputs, with the source's statistics from the fingerprint.

The authors' code leaves out the input and the first convolution, although the paper has the input among its maps.
"""

from collections.abc import Mapping

from torch import Tensor

from trainer.features import INPUT, FeatureMap, Named, Options, SourceMoments, measured, of_images, of_tap
from trainer.task import Task


def build(task: Task, options: Options) -> FeatureMap:
    """All fitted taps but the first, which `options` can bring back; the only one where there is but one."""
    names = task.fitted_taps if options.with_first or len(task.fitted_taps) == 1 else task.fitted_taps[1:]
    return Taps(task, names, with_input=options.with_input)


class Taps(FeatureMap):
    """Some taps of the frozen model, and the images in front of them if wanted."""

    def __init__(self, task: Task, names: tuple[str, ...], *, with_input: bool = False) -> None:
        super().__init__(task.frozen)
        self._task, self._names, self._with_input = task, names, with_input

    def __call__(self, images: Tensor) -> Named:
        """See `FeatureMap`."""
        return self._chosen(images, self._frozen.taps_only(images, self._names))

    def with_scores(self, images: Tensor) -> tuple[Tensor, Named]:
        """One pass for both."""
        scores, taps = self._frozen.scores_and_taps(images)
        return scores, self._chosen(images, taps)

    def source(self) -> Mapping[str, SourceMoments]:
        """From the fingerprint; of the images themselves from the source images."""
        fingerprint = self._task.fingerprint
        found = {name: of_tap(fingerprint.taps[name]) for name in self._names}
        if self._with_input:
            found |= measured(lambda x: {INPUT: x}, of_images(self._task), len(fingerprint.class_counts))
        return found

    def _chosen(self, images: Tensor, taps: Named) -> Named:
        first = {INPUT: images} if self._with_input else {}
        return first | {name: taps[name] for name in self._names}
