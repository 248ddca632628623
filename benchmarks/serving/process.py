"""Servers in processes of their own, and what they use."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
STOP_S = 30


@dataclass(frozen=True)
class Server:
    """A server that answers at `url`."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def memory_mib(self) -> float:
        """What it holds resident, MiB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


@contextmanager
def started(command: Sequence[str], **environment: str) -> Iterator[Server]:
    """Run a server that prints its URL as its first line."""
    with subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        assert run.stdout is not None
        try:
            url = run.stdout.readline().strip()
            if not url:
                raise RuntimeError(f"{command} did not start")
            yield Server(url, run.pid)
        finally:
            run.send_signal(signal.SIGTERM)
            try:
                run.wait(STOP_S)
            except subprocess.TimeoutExpired:
                run.kill()


def service(home: Path, *, with_worker: bool = False) -> AbstractContextManager[Server]:
    """The service on a home."""
    worker = str(with_worker).lower()
    chosen = {"FOREOPTIC_HOME": str(home), "FOREOPTIC_PORT": "0", "FOREOPTIC_SHIPPED": "", "FOREOPTIC_WORKER": worker}
    return started([sys.executable, "-m", "service"], **chosen)


def peer(module: str) -> AbstractContextManager[Server]:
    """A server of this package, by the name of its module."""
    return started([sys.executable, "-m", f"benchmarks.serving.{module}"])
