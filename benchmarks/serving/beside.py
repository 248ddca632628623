"""What predictions notice of an adaptation on the same processors: `python -m benchmarks.serving --beside`.

The trainer is nice: predictions go first, and the fit takes what they leave.
"""

import io
import threading
import time

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.serving.load import drive
from benchmarks.serving.pair import NAME, SHAPE
from benchmarks.serving.questions import Bench

CLIENTS = 16
IMAGES = 512
LOOK_S = 0.2
START_S = 60
MOST_TIMES_P99 = 4.0


def beside(bench: Bench) -> int:
    """Drive the service alone, then while one job follows another; 1 where a request failed or p99 is too high."""
    url, payload = bench.servers["foreoptic"].url, bench.payloads["v2 binary"]
    drive(url, payload, bench.folder, clients=CLIENTS, seconds=2)
    alone = drive(url, payload, bench.folder, clients=CLIENTS, seconds=bench.seconds)
    jobs = _Jobs(url, payload.headers["Authorization"])
    jobs.start()
    jobs.running.wait(START_S)
    busy = drive(url, payload, bench.folder, clients=CLIENTS, seconds=bench.seconds)
    jobs.stop()
    table = Table("", "requests/s", "p50 ms", "p99 ms", "failed")
    for name, load in (("alone", alone), ("beside adaptations", busy)):
        table.add_row(name, f"{load.rate:,.0f}", f"{load.p50_ms:.2f}", f"{load.p99_ms:.2f}", str(load.failed))
    Console().print(table, f"{jobs.done} jobs ended meanwhile, the last one {jobs.state}")
    return int(busy.failed > 0 or not jobs.running.is_set() or busy.p99_ms > MOST_TIMES_P99 * alone.p99_ms)


class _Jobs(threading.Thread):
    """Posts a batch, waits until its job ends, and posts the next."""

    def __init__(self, url: str, authorization: str) -> None:
        super().__init__(daemon=True)
        self._http = httpx.Client(base_url=url, timeout=30, headers={"authorization": authorization})
        self._stopping = False
        self.running = threading.Event()
        self.done = 0
        self.state = "queued"

    def run(self) -> None:
        draw, path = np.random.default_rng(0), f"/v1/models/{NAME}/domains/domain-1/adaptations"
        while not self._stopping:
            body = io.BytesIO()
            np.save(body, (0.2 + 0.5 * draw.random((IMAGES, *SHAPE))).astype(np.float32))
            headers = {"content-type": "application/x-npy"}
            job = self._http.post(path, content=body.getvalue(), headers=headers).raise_for_status().json()
            while job["state"] in ("queued", "running", "validating") and not self._stopping:
                time.sleep(LOOK_S)
                job = self._http.get(f"/v1/adaptations/{job['id']}").raise_for_status().json()
                self.state = job["state"]
                if self.state == "running":
                    self.running.set()
            self.done += job["state"] in ("succeeded", "failed")

    def stop(self) -> None:
        self._stopping = True
        self.join(10)
