"""Steps on all fitted images at once, to the bottom of the valley that noisy steps have found.

A mini-batch's statistics differ from the source's only because it is small; near the end that is most of the loss, and
steps wander. All images together have so little of it that a quasi-Newton method goes on where they stop.
"""

from copy import deepcopy
from math import isfinite

import torch

from trainer.corrector import Corrector
from trainer.descent import Descent

HISTORY = 20


class Refinement:
    """L-BFGS with a strong Wolfe line search (Nocedal & Wright, 2006, chapters 3 and 7), for as long as it is asked.

    Attributes:
        corrector: what it has come to, a copy of what it started from.
    """

    def __init__(self, descent: Descent, corrector: Corrector, label: str, *, images: int | None = None) -> None:
        """Start from `corrector`, on the first so many fitted images, all of them if unset."""
        self._descent, self._label, self._images = descent, label, images
        self.corrector = deepcopy(corrector)
        self._unit: float | None = None
        self._optimiser = torch.optim.LBFGS(
            self.corrector.parameters(), history_size=HISTORY, line_search_fn="strong_wolfe"
        )

    def advance(self, passes: int) -> Corrector:
        """Go on for at most about so many passes over the images, each with a gradient; a copy of what came out."""
        (group,) = self._optimiser.param_groups
        group["max_iter"] = group["max_eval"] = passes
        self._optimiser.step(self._closure)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return deepcopy(self.corrector)

    def _closure(self) -> float:
        """The loss in units of that at the start: the optimiser's tolerances are absolute."""
        self._optimiser.zero_grad()
        loss = self._descent.backward_all(self.corrector, self._label, self._images)
        self._unit = self._unit or (max(loss, 1e-12) if isfinite(loss) else 1.0)
        for parameter in self.corrector.parameters():
            if parameter.grad is not None:
                parameter.grad /= self._unit
        return loss / self._unit
