"""Fits correctors in front of a frozen model; imports of the service only its contract."""

import os

# onnxruntime's official builds send usage events to their maker unless this is set before they are imported. Whoever
# wants them sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
