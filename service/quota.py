"""Token buckets: so many at once, so many a second. Kept in memory: each replica counts for itself."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

MOST_BUCKETS = 10_000


class Quotas:
    """A bucket for each name; of more than MOST_BUCKETS those that were used longest ago are forgotten.

    Args:
        clock: seconds that only rise.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By name: what is left, and when that was so.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, amount: float, *, per_s: float, burst: float) -> int:
        """Take `amount` out of a bucket that holds `burst` and gains `per_s` a second.

        What is larger than the bucket is given when the bucket is full, and leaves it in debt.

        Returns:
            0, or how many whole seconds to wait before trying again; nothing was taken then.
        """
        now = self._clock()
        left, since = self._left.pop(name, (burst, now))
        left = min(burst, left + (now - since) * per_s)
        missing = min(amount, burst) - left
        self._left[name] = (left if missing > 0 else left - amount, now)
        while len(self._left) > MOST_BUCKETS:
            self._left.popitem(last=False)
        return math.ceil(missing / per_s) if missing > 0 else 0
