"""The serving side of Foreoptic: answers requests, never imports torch or the trainer."""

__version__ = "0.1.0"
