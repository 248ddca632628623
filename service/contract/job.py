"""The folder through which the worker asks the trainer for one adaptation.

JOB_DIR/
  job.json        JobSpec, written by the service
  batch.npz       the posted images as the model's tensor: `x` (n, C, H, W) float32 and, if labels came, `y` (n,) int64,
                  UNKNOWN where an image has none
  model/          copy of the frozen model's bundle, put there by the worker
  champion/       copy of the domain's champion bundle, if it has one
  staged/         bundle that the trainer leaves; absent if the verdict is `reject`
  outcome.json    JobOutcome, written last: a folder without it is unfinished

While it works the trainer writes one JSON line a step to standard output: `Progress`.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.contract.manifest import Name, Sha256
from service.contract.verdict import Verdict

JOB = "job.json"
BATCH = "batch.npz"
MODEL = "model"
CHAMPION = "champion"
STAGED = "staged"
OUTCOME = "outcome.json"

UNKNOWN = -1
"""Stands for the label of an image that nobody has named."""

JobId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class JobSpec(BaseModel):
    """What is asked for. Same spec, same batch, same bytes out."""

    model_config = ConfigDict(frozen=True)

    id: JobId
    model: Name
    domain: Name
    method: Name
    seed: int = Field(ge=0)
    frozen_sha256: Sha256
    batch_sha256: Sha256
    threads: int = Field(ge=1, description="Processor threads that the trainer may use.")


class Progress(BaseModel):
    """How far a fit has come."""

    model_config = ConfigDict(frozen=True)

    share: float = Field(ge=0, le=1)
    step: str
    loss: float | None = None


class JobOutcome(BaseModel):
    """What came out: a verdict, or a problem that the batch caused."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    verdict: Verdict | None = None
    problem: str | None = None
    timings: dict[str, float] = Field(default_factory=dict, description="Seconds per step.")
