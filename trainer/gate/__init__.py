"""Evidence in, verdict out.

`screen` looks at the whole batch before a fit, and may say that none is called for. `evidence` computes numbers from
the judge part, which nothing was fitted to or chosen by; `decide` turns both into a verdict and touches no image. All
are deterministic.
"""
