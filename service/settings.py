"""Every knob of the service, with its unit and its reason. The only reader of the environment.

Each field is set by `FOREOPTIC_` and its name in capitals: `FOREOPTIC_PORT=9000`. A list is separated by commas.
"""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.contract.bundle import MANIFEST
from service.engine.provider import Provider

MIB = 1 << 20
# What this process may use, which may be fewer than the machine has.
PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
LOOPBACK = ("127.0.0.1", "::1", "localhost")
PACKAGE = Path(__file__).resolve().parent


def shipped_models() -> Path:
    """Folder of the frozen models that ship with the project: inside a wheel, else beside the checkout's packages."""
    inside = PACKAGE / "models"
    return inside if inside.is_dir() else PACKAGE.parent / "models"


def shipped_names() -> tuple[str, ...]:
    """Names of the frozen models that ship."""
    return tuple(sorted(file.parent.name for file in shipped_models().glob(f"*/{MANIFEST}")))


class Settings(BaseSettings):
    """How one process of the service behaves."""

    model_config = SettingsConfigDict(env_prefix="FOREOPTIC_", frozen=True, extra="ignore")

    home: Path = Field(Path(".foreoptic"), description="Where everything that is written while running lives.")
    host: str = Field("127.0.0.1", description="Address to listen on; other than loopback needs keys.")
    port: int = Field(8000, ge=0, le=65535, description="0 takes a free one.")
    insecure_bind: bool = Field(False, description="Listen beyond loopback although there are no keys.")
    hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Names in the Host header that are answered; by default loopback's there, elsewhere any."
    )
    database_url: str | None = Field(None, description="SQLAlchemy URL; default is foreoptic.db in home.")
    log_json: bool = Field(False, description="One JSON object a line instead of readable lines.")
    # The others that ship are there for studies.
    shipped: Annotated[tuple[str, ...], NoDecode] = Field(
        ("digits",), description="Which models that ship are registered when a home is opened; '' is none."
    )

    threads: int = Field(PROCESSORS, ge=1, description="Threads of one onnxruntime session.")
    provider: Provider = Field(
        Provider.CPU, description="What computes, cpu or cuda; cuda needs onnxruntime-gpu and falls back to cpu."
    )
    require_gpu: bool = Field(False, description="Not ready while a model computes on the cpu all the same.")
    micro_batch_images: int = Field(32, ge=1, description="Most images in one run of the frozen model.")
    queue_limit_images: int = Field(512, ge=1, description="Images that may wait; more are refused with 503.")
    domain_limit: int = Field(1000, ge=1, description="Most domains of one model; batches create them.")
    pinned_versions: int = Field(16, ge=1, description="Versions kept loaded because a request named them.")

    predict_body_bytes: int = Field(8 * MIB, ge=1, description="Largest predict or infer body.")
    batch_body_bytes: int = Field(64 * MIB, ge=1, description="Largest adaptation body.")
    batch_tensor_bytes: int = Field(512 * MIB, ge=1, description="Largest batch as the model's float32.")
    max_pixels: int = Field(4_000_000, ge=1, description="Largest picture, compared before it is decoded.")
    infer_max_images: int = Field(256, ge=1, description="Most images in one infer request.")
    adapt_min_images: int = Field(32, ge=4, description="Fewer cannot be split into parts that carry evidence.")
    adapt_max_images: int = Field(4096, ge=4, description="Most images in one batch.")

    worker: bool = Field(True, description="Start the worker process beside the service.")
    queue_limit_jobs: int = Field(32, ge=1, description="Jobs that may wait; more are refused with 429.")
    event_streams: int = Field(64, ge=1, description="Clients that may follow jobs at once; each is a look-up a tick.")
    job_timeout_s: float = Field(600.0, gt=0, description="A trainer that runs longer is ended.")
    job_attempts: int = Field(3, ge=1, description="Starts of one job before it is given up.")
    job_threads: int = Field(PROCESSORS, ge=1, description="Threads of the trainer.")
    adaptation_seed: int | None = Field(None, ge=0, description="Fixes how batches are split; random where unset.")
    refresh_interval_s: float = Field(0.25, gt=0, description="How often aliases and finished jobs are looked up.")

    @field_validator("shipped", "hosts", mode="before")
    @classmethod
    def _separated(cls, names: object) -> object:
        return [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else names

    @field_validator("shipped")
    @classmethod
    def _must_ship(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = shipped_names()
        if unknown := [name for name in names if name not in known]:
            raise ValueError(
                f"FOREOPTIC_SHIPPED: no model that ships is called {', '.join(unknown)}; known: {', '.join(known)}; "
                "a model of your own is registered with `foreoptic register`"
            )
        return names

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the service."""
        return self.host in LOOPBACK

    @property
    def known_hosts(self) -> tuple[str, ...]:
        """Names that a Host header may give; any if empty."""
        return self.hosts or (LOOPBACK if self.is_local else ())

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the one database."""
        return self.database_url or f"sqlite:///{(self.home / 'foreoptic.db').resolve()}"

    @property
    def store_dir(self) -> Path:
        """Bundles, named by content."""
        return self.home / "store"

    @property
    def tried_dir(self) -> Path:
        """Which graphs came through their first load here."""
        return self.home / "tried"

    @property
    def jobs_dir(self) -> Path:
        """One folder a job."""
        return self.home / "jobs"
