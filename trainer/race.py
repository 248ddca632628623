"""A race of starts: where no closed form can tell which start leads farthest, a few steps of each do."""

from collections.abc import Sequence

from trainer.corrector import Corrector
from trainer.descent import Descent
from trainer.refinement import Refinement


def race(descent: Descent, starts: Sequence[Corrector], label: str, *, images: int, passes: int) -> Corrector:
    """The start that is left of all, as far as it has come.

    They race on the first `images` fitted ones. After each leg of `passes` over them the closer half goes on.

    Args:
        starts: at least one.
    """
    running = [Refinement(descent, start, label, images=images) for start in starts]
    while len(running) > 1:
        for runner in running:
            runner.advance(passes)
        ranked = descent.ranked([runner.corrector for runner in running], images)
        kept = [entry.corrector for entry in ranked[: len(running) // 2]]
        running = [runner for runner in running if runner.corrector in kept]
    return running[0].corrector
