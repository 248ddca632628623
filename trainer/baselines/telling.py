"""Being told how far a baseline has come."""

from collections.abc import Callable

Tell = Callable[[float], None]
"""Called with the share that is behind, from 0 to 1."""
