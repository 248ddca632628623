"""What the reading of frozen models can do: architectures through exporters, read back and compared.

`python -m trainer.studies.frozen_models` measures and writes the tables of `docs/frozen-models.md`.
"""
