"""onnxruntime sessions as the trainer makes them: on the CPU, silent, from bytes that are read as ONNX alone.

onnxruntime takes bytes that are marked so for its own format; the same bytes can be another graph to whoever reads them
as ONNX.
"""

import onnxruntime


def make_session(content: bytes, *, optimized: bool = True) -> onnxruntime.InferenceSession:
    """A session over `content`; not optimized, every tensor of the file exists. Raises onnxruntime's exceptions."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # Errors come back as exceptions; the runtime's own log would say them a second time.
    options.log_severity_level = 4
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Its fallback prints and tries the same provider once more.
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
