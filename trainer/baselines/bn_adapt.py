"""BN adaptation: a copy of the classifier with the target's statistics in its batch normalisations, or a mix of both.

mean = (N mean_s + n mean_t) / (N + n), variances alike: the source counts as N images. N = 0 takes the target's alone.

Source: Schneider et al., "Improving robustness against common corruptions by covariate shift adaptation" (2020).
"""

import torch
from torch import Tensor

from trainer.baselines.thawed import thaw
from trainer.measure import chunks
from trainer.reading import Reading


@torch.no_grad()
def bn_adapt(reading: Reading, images: Tensor, *, source_images: float) -> Reading:
    """The copy.

    Args:
        images: planes of the target, (n, C, H, W).
        source_images: N.
    """
    copy, pace = thaw(reading)
    stored = dict(copy.named_buffers())
    before = {name: value.clone() for name, value in stored.items()}
    share = len(images) / (len(images) + source_images)
    # The plain mean of what the chunks show: each has the share of its images among those seen so far.
    seen = 0
    for chunk in chunks(images):
        seen += len(chunk)
        pace.following, pace.momentum = True, len(chunk) / seen
        copy.scores_and_taps(chunk)
    pace.following = False
    for name, value in stored.items():
        value.copy_(torch.lerp(before[name], value, share))
    return copy
