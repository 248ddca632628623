"""Which methods the trainer knows, without importing it: a method is a file in its folder `methods`."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def known_methods() -> tuple[str, ...]:
    """Names that `method=` may take; empty where no trainer is installed beside this service."""
    folder = _folder()
    return () if folder is None else tuple(sorted(file.stem for file in folder.glob("[a-z]*.py")))


@cache
def needs_source(method: str) -> bool:
    """Whether a known method's file has the line `NEEDS_SOURCE = True`; false of one that is not known here."""
    folder = _folder()
    if folder is None or method not in known_methods():
        return False
    # Read as text: the service neither imports nor parses code of the trainer.
    return "NEEDS_SOURCE = True" in (folder / f"{method}.py").read_text(encoding="utf-8").splitlines()


def _folder() -> Path | None:
    spec = find_spec("trainer")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "methods"
