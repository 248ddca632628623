"""The calibrator paper's digits (Ye et al., 2020) and the tutorial's baselines: who keeps the model, who changes it.

`contenders.py` says what each row does, `rows.py` which rows there are and what was printed of them, `domains.py` of
which images, `records.py` makes one record and keeps it, `report.py` and `figures.py` show them all.
`foreoptic reproduce calibrator` and `foreoptic reproduce tutorial` are the doors.
"""
