"""Calibrating a gate: what label-free signals say of accuracy, learned from batches made of labelled source images.

`plan.py` draws the batches, `corrections.py` fits cheap correctors to them, good and half good, `states.py` measures
signals and accuracy behind each of these correctors, also behind those that were fitted to another batch; `records.py`
keeps what is done, so that an interrupted calibration goes on; `fitting.py` makes the forecast, `calibrate.py` is all
of it from top to bottom.

The rule: batches are of calibration kinds alone, see `trainer.shifts.registry`. What is claimed of a forecast is
claimed of kinds that are not here.
"""
