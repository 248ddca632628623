"""The gauntlet: does the product, as it is, ever make things worse? `foreoptic bench harm` runs it.

A *material* is a frozen model that ships and labelled images for it; a *job* is a material, a kind of batch, a seed and
a number of images; a *record* is what became of it. `jobs.py` names them, `runs.py` makes a record by the same
`trainer.run.fit` that a job of the service ends in, `summary.py` counts, `report.py` and `figures.py` show.

The rule: the product gets the batch and its seed. No label, and nothing of the images that it is judged on.
"""
