"""What the service and the trainer agree on: the bundle format, the input contract, statistics and verdicts.

Imports numpy, pydantic, onnx and Pillow only; importing this package itself loads none of them.

A **bundle** is a folder named by its content. The rules, each with an error class in `errors.py` and an attack test:

1. `manifest.json` is canonical JSON (sorted keys, no spaces, UTF-8); its SHA-256 is the bundle's digest.
2. Every other file is listed in it with size and SHA-256, and nothing unlisted is there.
3. File names are plain names: no folder, no `..`, no link.
4. Nothing larger than its cap is read.
5. `schema_version` has the major number that this code knows; unknown fields are kept.
6. `frozen_sha256` names the frozen model that a bundle belongs to, and is compared before use.
7. A corrector's output has its input's shape, and both have the shape of the frozen model's input.
8. `golden.npz` holds inputs and the corrector's outputs; who loads the bundle repeats them within the stated tolerance.
9. Graphs satisfy `graph_rules.py`: no data in other files, capped sizes, listed operators, one input.
"""
