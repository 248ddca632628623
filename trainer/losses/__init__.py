"""Differentiable losses, one file each; the numpy definition of each is in `service/contract/distances.py`."""
