"""The front door: command line, demo and HTTP client."""

from service import __version__

__all__ = ["__version__"]
