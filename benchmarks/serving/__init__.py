"""How near to onnxruntime itself does the service come? `python -m benchmarks.serving`."""
