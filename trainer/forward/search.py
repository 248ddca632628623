"""A corrector without a gradient: closed forms first, then least squares on one small family after the other.

Everything that is asked of the frozen model is the moments at its fitted taps; each image that it is shown is counted.
The same arguments give the same correctors: nothing is drawn.

1. The identity, and unless that is close enough closed forms on pixels, each looked at once.
2. Families from the smallest on: each joins the best corrector so far, or takes the place of the smaller one of its
   kind, and all numbers are fitted together. A warp begins at the closest of a grid of stretches, beside the grid of
   pixels; a bias image where the mean pictures differ, if that is closer.
3. What a family adds is kept if it lowers the loss by a share that is worth its numbers. It ends where the loss is that
   of clean source images of this number, or with the budget.

Which of the correctors found is to be used is for others to choose, by taps that nothing here has seen.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from service.contract.fingerprint import Fingerprint
from service.contract.statistics import Floats, pool
from trainer.forward.closed_forms import matching_colours, matching_pattern
from trainer.forward.families import Family, Part, apply, families
from trainer.forward.kernels import Linear
from trainer.forward.levenberg_marquardt import Limits, Residuals, minimise
from trainer.forward.patterns import Pattern
from trainer.forward.residuals import statistics_residuals
from trainer.forward.tap_graph import MOST_IMAGES, Planes, TapGraph
from trainer.forward.warps import SCALES, AffineWarp
from trainer.frame import Frame

Parts = tuple[Part, ...]


@dataclass(frozen=True)
class Config:
    """Every choice of the search.

    Attributes:
        probe: images on which stretches are compared.
        slopes: images that slopes are taken from; all of them where there are fewer.
        kept: share of the loss that a family must take off to be kept.
        worth: see `Limits`.
    """

    probe: int = 64
    slopes: int = 96
    kept: float = 0.05
    worth: float = 0.02


@dataclass(frozen=True)
class Found:
    """A corrector, what it was found by, its loss on the fitted taps, and the images shown for it alone."""

    name: str
    parts: Parts
    loss: float
    images: int


@dataclass(frozen=True)
class Outcome:
    """What a search has found.

    Attributes:
        found: the identity, then what each step found, in order.
        best: the last one that was worth its numbers.
        goal: the loss of clean source images, 0 where the fingerprint has none.
        images: shown to the frozen model altogether.
    """

    found: tuple[Found, ...]
    best: Found
    goal: float
    images: int


def search(
    graph: TapGraph,
    fingerprint: Fingerprint,
    planes: Planes,
    frame: Frame,
    *,
    budget: int,
    config: Config,
    told: Callable[[Found, float], None] = lambda _found, _share: None,
) -> Outcome:
    """Fit all families to planes (n, C, H, W), showing the frozen model at most `budget` images.

    Args:
        graph: of the frozen model, with the taps that may be fitted.
        told: each corrector as it is found, and the share of the budget that is spent.

    Raises:
        ValueError: the budget does not pay for one look at the images.
        TapGraphError: the frozen model fails.
    """
    if budget < len(planes):
        raise ValueError(f"a budget of {budget} images pays for no look at {len(planes)}; give at least as many")
    reference = fingerprint.reference
    goal = reference.at(len(planes), reserved=False)[0] if reference else 0.0
    running = _Search(graph, fingerprint, planes, config, budget, goal, told)
    running.consider("identity", ())
    if running.best.loss > goal:
        running.closed_forms(frame)
    for family in families(frame):
        if running.best.loss <= goal:
            break
        running.fit(family)
    return Outcome(tuple(running.found), running.best, goal, budget - running.left)


def joined(parts: Parts, family: Family) -> Parts | None:
    """`parts` with `family` added as the identity, or in place of a smaller one of its kind, computing the same.

    None where its place is taken by one that it does not hold.
    """
    others = tuple(part for part in parts if part[0].place != family.place)
    theta = np.zeros(family.size)
    for old, numbers in parts:
        if old.place == family.place:
            if not (isinstance(family, Linear) and isinstance(old, Linear) and family.holds(old)):
                return None
            theta = family.theta(*old.parts(numbers))
    return tuple(sorted((*others, (family, theta)), key=lambda part: part[0].place))


@dataclass
class _Search:
    """What has been found so far, and how many more images may be shown."""

    graph: TapGraph
    fingerprint: Fingerprint
    planes: Planes
    config: Config
    budget: int
    goal: float
    told: Callable[[Found, float], None]
    found: list[Found] = field(default_factory=list)
    best: Found = Found("identity", (), np.inf, 0)

    def __post_init__(self) -> None:
        """Nothing is spent yet."""
        self.left = self.budget

    def consider(self, name: str, parts: Parts, loss: float | None = None, images: int = 0) -> None:
        """Note a corrector, and keep it if it is worth its numbers; its loss is looked up where it is not known."""
        if loss is None:
            loss, images = self._loss(parts, self.planes), images + len(self.planes)
        self.found.append(Found(name, parts, loss, images))
        self.told(self.found[-1], 1.0 - self.left / self.budget)
        if loss < (1 - self.config.kept) * self.best.loss:
            self.best = self.found[-1]

    def closed_forms(self, frame: Frame) -> None:
        """Every closed form, as far as the budget goes."""
        pixels = self.fingerprint.pixels
        if pixels is None:
            return
        for parts in matching_colours(frame, pixels, self.planes):
            if self.left >= len(self.planes):
                self.consider(f"{_name(parts)}, closed form", parts)

    def fit(self, family: Family) -> None:
        """Least squares from the best so far with `family` in it, where it has a place there."""
        before = self.left
        parts = joined(self.best.parts, family)
        # One start, one set of slopes, one step.
        if parts is None or self.left < 2 * len(self.planes) + self._images_of_slopes * (1 + _size(parts)):
            return
        parts = self._started(parts)
        minimum = minimise(
            self._residuals(parts, self.planes),
            np.concatenate([theta for _, theta in parts]),
            bound=np.concatenate([member.bound for member, _ in parts]),
            step=np.concatenate([member.step for member, _ in parts]),
            limits=Limits(self.left, goal=self.goal, worth=self.config.worth),
            cheaper=self._residuals(parts, self.planes[: self._images_of_slopes]),
        )
        fitted = _with(parts, minimum.theta)
        self.consider(_name(fitted), fitted, minimum.loss, before - self.left)

    @property
    def _images_of_slopes(self) -> int:
        return min(self.config.slopes, len(self.planes))

    def _started(self, parts: Parts) -> Parts:
        """`parts` where the family that is new in them begins; for the grid at most half of what is left is spent."""
        starts = self._stretched(parts) or [parts, *self._patterned(parts)]
        probe = self.planes[: self.config.probe]
        affordable = self.left // max(1, len(probe)) // 2
        if len(starts) == 1 or affordable < len(starts):
            return parts
        losses = [self._loss(start, probe) for start in starts]
        return starts[int(np.argmin(losses))]

    def _stretched(self, parts: Parts) -> list[Parts]:
        """With every stretch, where there is a new warp: in front of what was found, and alone."""
        warps = [family for family, theta in parts if isinstance(family, AffineWarp) and not theta.any()]
        thetas = [family.stretched(x, y) for family in warps for x in SCALES for y in SCALES]
        # What was found before may have made up for a warp as well as it could.
        alone = tuple((family, np.zeros(family.size)) for family, _ in parts)
        return [_replaced(base, AffineWarp, theta) for base in (parts, alone) for theta in thetas]

    def _patterned(self, parts: Parts) -> list[Parts]:
        """With the pattern that the mean pictures tell of, where there is one."""
        pixels = self.fingerprint.pixels
        if pixels is None or pixels.image_mean is None:
            return []
        patterns = [family for family, theta in parts if isinstance(family, Pattern) and not theta.any()]
        ahead = tuple(part for part in parts if not isinstance(part[0], Pattern))
        thetas = [matching_pattern(family, pixels.image_mean, ahead, self.planes) for family in patterns]
        return [_replaced(parts, Pattern, theta) for theta in thetas]

    def _loss(self, parts: Parts, planes: Planes) -> float:
        residuals = self._residuals(parts, planes).of(np.concatenate([np.zeros(0), *(t for _, t in parts)])[None])[0]
        loss = float(residuals @ residuals)
        return loss if np.isfinite(loss) else np.inf

    def _residuals(self, parts: Parts, planes: Planes) -> Residuals:
        """Residuals at the fitted taps for all numbers of `parts` together; images are counted as they are shown."""
        wanted = {name: self.fingerprint.moments()[name] for name in self.graph.taps}
        together = max(1, MOST_IMAGES // len(planes))

        def of(thetas: Floats) -> Floats:
            rows: list[Floats] = []
            for start in range(0, len(thetas), together):
                some = thetas[start : start + together]
                moments = self.graph.moments(np.concatenate([apply(_with(parts, theta), planes) for theta in some]))
                self.left -= len(some) * len(planes)
                for index in range(len(some)):
                    chosen = np.arange(index * len(planes), (index + 1) * len(planes))
                    own = pool({name: tap.take(chosen) for name, tap in moments.items()})
                    rows.append(statistics_residuals(own, wanted))
            return np.stack(rows)

        return Residuals(of, len(planes))


def _size(parts: Parts) -> int:
    return sum(family.size for family, _ in parts)


def _name(parts: Parts) -> str:
    return " + ".join(family.name for family, _ in parts)


def _with(parts: Parts, theta: Floats) -> Parts:
    """`parts` with other numbers, given one after the other."""
    ends = np.cumsum([family.size for family, _ in parts], dtype=int)
    return tuple((family, theta[end - family.size : end]) for (family, _), end in zip(parts, ends, strict=True))


def _replaced(parts: Parts, kind: type, theta: Floats) -> Parts:
    return tuple((family, theta if isinstance(family, kind) else own) for family, own in parts)
