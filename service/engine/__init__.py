"""From checked rows to answers: batcher, pipeline, session. Knows no HTTP; only `session` knows onnxruntime."""
