"""Differentiable losses, one file each; the contract has the numpy definitions of those of statistics.

`moments.py` is the twin of `service/contract/distances.py`, `norms.py` of `service/contract/norm_distances.py`.
"""
