"""Kinds of batch, made from labelled images by a seed: what a camera, a stream or a stranger may do to them.

`kind.py` says what a kind is, `registry.py` lists them with the rule that keeps calibration and judging apart,
`cases.py` makes a batch of one; the other files hold their ingredients. Nothing here fits or judges anything.
"""
