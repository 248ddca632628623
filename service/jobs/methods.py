"""Which methods the trainer knows, without importing it: a method is a file in its folder `methods`."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def known_methods() -> tuple[str, ...]:
    """Names that `method=` may take; empty where no trainer is installed beside this service."""
    spec = find_spec("trainer")
    if spec is None or spec.origin is None:
        return ()
    return tuple(sorted(file.stem for file in (Path(spec.origin).parent / "methods").glob("[a-z]*.py")))
