"""onnxruntime sessions as the trainer makes them: on the CPU, silent, from bytes that are read as ONNX alone.

onnxruntime takes bytes that are marked so for its own format; the same bytes can be another graph to whoever reads them
as ONNX.
"""

import onnxruntime


def make_session(content: bytes, *, optimized: bool = True, threads: int | None = None) -> onnxruntime.InferenceSession:
    """A session over `content`; raises onnxruntime's exceptions.

    Args:
        optimized: if not, every tensor of the file exists.
        threads: of one operator; as many as there are processors if unset.
    """
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # Errors come back as exceptions; the runtime's own log would say them a second time.
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Its fallback prints and tries the same provider once more.
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
