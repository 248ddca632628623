"""Print what the images install before the project itself: `requirements.py cpu|gpu [EXTRA ...]`.

pyproject.toml stays the only list. onnxruntime and onnxruntime-gpu are two distributions of one module and overwrite
each other's files. No extra can take a dependency away, so the GPU's is a dependency group that replaces it here.
"""

import sys
import tomllib
from pathlib import Path

ACCELERATORS = ("cpu", "gpu")


def requirements(pyproject: dict[str, dict], accelerator: str, extras: list[str]) -> list[str]:
    """Requirements of the project and of some of its extras, with exactly one onnxruntime."""
    project = pyproject["project"]
    listed = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    if accelerator == "cpu":
        return listed
    kept = [line for line in listed if not line.startswith("onnxruntime>")]
    return kept + pyproject["dependency-groups"]["gpu"]


def main() -> None:
    """Read the command line; the file lies where the build put it, in the working directory."""
    accelerator, *extras = sys.argv[1:] or [""]
    if accelerator not in ACCELERATORS:
        raise SystemExit(f"ACCELERATOR is '{accelerator}'; build with one of {', '.join(ACCELERATORS)}")
    pyproject = tomllib.loads(Path("pyproject.toml").read_text())
    sys.stdout.write("\n".join(requirements(pyproject, accelerator, extras)) + "\n")


if __name__ == "__main__":
    main()
