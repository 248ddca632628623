"""The homogenization paper's experiments (Willis & Oala, 2021), from the perturbation to the tables.

`runs.py` makes one record, `protocol.py` says of which images, `rows.py` what the tables' rows are, `anchors.py` what
the paper printed. `foreoptic reproduce homogenization` is the door; `docs/reproduce/homogenization.md` has the results.
"""
