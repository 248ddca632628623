"""Methods by name: the module is the plug-in, and only what lies in the folder can be named."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

METHODS = Path(__file__).parent / "methods"
DEFAULT = "default"
"""The preset that every method has, its `Config()`: the best fit that it can give."""
JOB_PRESET = "cascade"
"""The preset that a job gets, where the method has one of that name: less work for nearly as much."""


class UnknownMethod(Exception):
    """There is no method of that name."""


class UnknownPreset(Exception):
    """The method has no choices of that name."""


def known_methods() -> tuple[str, ...]:
    """Names of all methods."""
    return tuple(sorted(file.stem for file in METHODS.glob("[a-z]*.py")))


def load_method(name: str) -> ModuleType:
    """The module of a method; what it must define is in the docstring of `trainer.methods`.

    Raises:
        UnknownMethod: no file of that name; the message lists the known ones.
    """
    if name not in known_methods():
        raise UnknownMethod(f"there is no such method; known: {', '.join(known_methods())}")
    return import_module(f"trainer.methods.{name}")


def load_preset(method: ModuleType, name: str) -> Any:
    """A method's configuration by name; JOB_PRESET is the default of a method that has none.

    Raises:
        UnknownPreset: the method has none of that name; the message lists those it has.
    """
    presets = {DEFAULT: method.Config(), **getattr(method, "PRESETS", {})}
    if name == JOB_PRESET:
        return presets.get(JOB_PRESET, presets[DEFAULT])
    if name not in presets:
        words = method.__name__.rpartition(".")[2]
        raise UnknownPreset(f"the method {words} has no preset '{name}'; known: {', '.join(presets)}")
    return presets[name]
