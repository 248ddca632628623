"""`foreoptic demo`: a frozen classifier meets digits of another source, gets one unlabelled batch, and recovers.

Everything goes through the service's own HTTP interface, as a device would use it. The labels of the target images are
used to count hits, never posted.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from sklearn.svm import SVC

from foreoptic import show
from foreoptic.client import Client
from foreoptic.demo_report import draw_report
from foreoptic.demo_target import Target, load_target, png
from foreoptic.following import follow_job, zip_of
from service.contract.digest import sha256_hex
from service.settings import Settings, shipped_models

MODEL = "digits"
CALLERS = 8
ADAPTATION_LIMIT_S = 600.0


class DemoError(Exception):
    """The demo cannot go on; the message says where to look."""


@dataclass
class Timings:
    """Seconds of each step, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Count the block and say that it runs."""
        show.err.print(f"[dim]{name} ...[/dim]")
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 1)


def run_demo(settings: Settings, *, seed: int, keep: bool, as_json: bool) -> None:
    """Run the demo and print what happened.

    Raises:
        DemoError: the service did not start, or the adaptation failed.
    """
    # A demo that is told to end must take its service along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # One that is kept has a home of its own: the next demo must not take it away from under its service.
    home = settings.home / (f"demo-{os.getpid()}" if keep else "demo")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    target = load_target(seed)
    timings = Timings()
    with timings.step("start the service"):
        process, url = start_service(home, seed, detached=keep)
    try:
        with Client(url, MODEL) as client:
            result = adapt_and_count(client, target, timings)
            report = draw_report(home / "report.png", client, target, result)
    except BaseException:
        process.terminate()
        raise
    if not keep:
        process.terminate()
        process.wait()
    if as_json:
        show.print_json({**result, "seconds": timings.seconds, "report": str(report), "url": url if keep else None})
        return
    print_result(result, timings, report)
    if keep:
        print_calls(url, process.pid, home, target)


def start_service(home: Path, seed: int, *, detached: bool) -> tuple[subprocess.Popen[str], str]:
    """Start the service on a free loopback port; returns the process and its URL once it listens."""
    log: IO[str] = (home / "service.log").open("w")
    changed = {"FOREOPTIC_HOME": str(home), "FOREOPTIC_PORT": "0", "FOREOPTIC_ADAPTATION_SEED": str(seed)}
    command = [sys.executable, "-m", "service", *([] if detached else ["--lifeline"])]
    process = subprocess.Popen(  # noqa: S603  # our own words
        command,
        stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, **changed},
        start_new_session=detached,
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    if not url:
        raise DemoError(f"the service did not start; see {home / 'service.log'}")
    return process, url


def adapt_and_count(client: Client, target: Target, timings: Timings) -> dict[str, Any]:
    """Accuracy before, one adaptation, accuracy after, and the frozen model's SHA-256 at either end."""
    sha_before, file_before = client.attestation()["frozen_sha256"], _frozen_file_sha256()
    with timings.step(f"classify {len(target.measured):,} target images, uncorrected"):
        before = accuracy(client, target)
    with timings.step(f"adapt to {len(target.posted)} unlabelled target images"):
        pictures = {f"{i}.png": png(image) for i, image in enumerate(target.posted)}
        job = client.adapt(zip_of(pictures), content_type="application/zip", domain="default")
        job = follow_job(client, job["id"], limit_s=ADAPTATION_LIMIT_S)
    if job["verdict"] is None:
        raise DemoError(f"the adaptation is {job['state']} after {job['step']}; see service.log in the demo's home")
    with timings.step(f"classify {len(target.measured):,} target images, as served now"):
        after = accuracy(client, target)
    with timings.step(f"train a classifier on the {len(target.posted)} images with labels, as a yardstick"):
        yardstick = _yardstick(target)
    return {
        "before": before,
        "after": after,
        "trained_on_target": yardstick,
        "verdict": job["verdict"]["decision"],
        "reason": job["verdict"]["reasons"][0]["text"],
        "version": job["version"],
        "stages": client.version(job["version"])["manifest"]["stages"] if job["version"] else [],
        "trainer_seconds": job["timings"],
        "frozen_sha256_before": sha_before,
        "frozen_sha256_after": client.attestation()["frozen_sha256"],
        "frozen_file_unchanged": file_before == _frozen_file_sha256() == sha_before,
    }


def accuracy(client: Client, target: Target) -> float:
    """Percent of the measured images that the service classifies as labelled, one PNG a request."""

    def hit(index: int) -> bool:
        answer = client.predict(png(target.measured[index]))
        return bool(answer["predictions"][0]["index"] == target.measured_labels[index])

    with ThreadPoolExecutor(CALLERS) as pool:
        return 100.0 * float(np.mean(list(pool.map(hit, range(len(target.measured))))))


def print_result(result: dict[str, Any], timings: Timings, report: Path) -> None:
    """What a reader wants to know, in the order of the questions."""
    out = show.out
    out.print()
    out.print("[bold]accuracy on target images that no fit has seen[/bold]")
    for name, key in (
        ("before", "before"),
        ("after", "after"),
        ("trained on the target, with labels", "trained_on_target"),
    ):
        bar = "█" * round(result[key] / 4)
        out.print(f"  {name:<36}{result[key]:5.1f} %  {bar}")
    stages = " + ".join(result["stages"]) or "none"
    verdict = f"{result['verdict']}, version {result['version']} ({stages}): {result['reason']}"
    out.print(f"\n[bold]verdict[/bold]  {verdict}", soft_wrap=True)
    out.print("\n[bold]frozen model[/bold], SHA-256")
    out.print(f"  before  {result['frozen_sha256_before']}")
    out.print(f"  after   {result['frozen_sha256_after']}")
    out.print("\n[bold]seconds[/bold]")
    for name, seconds in timings.seconds.items():
        out.print(f"  {seconds:5.1f}  {name}")
    out.print(f"\npicture: {report}", soft_wrap=True)


def print_calls(url: str, pid: int, home: Path, target: Target) -> None:
    """How to go on by hand."""
    picture = home / "digit.png"
    picture.write_bytes(png(target.measured[0]))
    show.out.print(f"\nThe service goes on at {url}; end it with: kill {pid}\n")
    for line in (
        f"curl -s --data-binary @{picture} {url}/v1/models/{MODEL}/predict",
        f"curl -s --data-binary @{picture} '{url}/v1/models/{MODEL}/predict?version=0'",
        f"curl -s {url}/v1/models/{MODEL}/domains/default",
        f"curl -s -X POST {url}/v1/models/{MODEL}/domains/default/rollback",
        f"curl -s {url}/metrics",
    ):
        show.out.print(f"  {line}", soft_wrap=True)


def _yardstick(target: Target) -> float:
    """Accuracy of a support vector machine trained on the posted images with their labels."""
    flat = [images.reshape(len(images), -1) / 255 for images in (target.posted, target.measured)]
    machine = SVC(C=10.0, gamma="scale").fit(flat[0], target.posted_labels)
    return 100.0 * float(machine.score(flat[1], target.measured_labels))


def _frozen_file_sha256() -> str:
    return sha256_hex((shipped_models() / MODEL / "model.onnx").read_bytes())
