"""The serving side of Foreoptic: answers requests, never imports torch or the trainer."""

import os

# onnxruntime's official builds send usage events to their maker unless this is set before they are imported. Whoever
# wants them sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
