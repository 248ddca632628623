"""Evidence in, verdict out.

`evidence` computes numbers from the judge part, which nothing was fitted to or chosen by; `decide` turns them into a
verdict and touches no image. Both are deterministic.
"""
