"""A closed loop of clients: wrk, from another process on the same machine."""

import io
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray
from PIL import Image

from benchmarks.serving.pair import NAME, SHAPE

SCRIPT = """
local file = io.open("{body}", "rb")
wrk.method, wrk.body = "POST", file:read("*a")
file:close()
{headers}
done = function(summary, latency, requests)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), failed))
end
"""


@dataclass(frozen=True)
class Payload:
    """One request, sent again and again."""

    name: str
    path: str
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Load:
    """What a closed loop of clients saw."""

    rate: float
    p50_ms: float
    p99_ms: float
    failed: int


def payloads(key: str, shape: tuple[int, int, int] = SHAPE) -> list[Payload]:
    """One image as raw tensor, as JSON and as PNG, with an API key."""
    shown = {"Authorization": f"Bearer {key}"}
    pixels = _pixels(shape)
    x = np.float32(pixels / 255)[None]
    entry = {"name": "image", "datatype": "FP32", "shape": list(x.shape)}
    head = orjson.dumps(
        {
            "inputs": [{**entry, "parameters": {"binary_data_size": x.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    )
    picture = io.BytesIO()
    Image.fromarray(pixels[0] if shape[0] == 1 else pixels.transpose(1, 2, 0)).save(picture, "PNG")
    infer, predict = f"/v2/models/{NAME}/infer", f"/v1/models/{NAME}/predict"
    as_json = orjson.dumps({"inputs": [{**entry, "data": x.ravel().tolist()}]})
    return [
        Payload("v2 binary", infer, head + x.tobytes(), {"Inference-Header-Content-Length": str(len(head)), **shown}),
        Payload("v2 JSON", infer, as_json, {"Content-Type": "application/json", **shown}),
        Payload("PNG", predict, picture.getvalue(), {"Content-Type": "image/png", **shown}),
    ]


def _pixels(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Noise on 28 pixels, and the same stretched to more: what compresses like a photograph and not like noise."""
    draw, channels, size = np.random.default_rng(0), shape[0], (shape[2], shape[1])
    coarse = draw.integers(0, 256, (channels, 28, 28), dtype=np.uint8)
    planes = [np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC)) for plane in coarse]
    return np.stack(planes)


DOMAINS_SCRIPT = """
local requests, turn = {{}}, 0
init = function()
  for number = 1, {domains} do
    wrk.headers["Foreoptic-Domain"] = "domain-" .. number
    requests[number] = wrk.format()
  end
end
request = function()
  turn = turn % {domains} + 1
  return requests[turn]
end
"""


def drive(url: str, payload: Payload, folder: Path, *, clients: int, seconds: int, domains: int = 0) -> Load:
    """Send a payload from so many clients at once for a time, to `domain-1` to `domain-N` in turn where N is not 0.

    Raises:
        RuntimeError: wrk said nothing that can be read.
    """
    body, script = folder / "body", folder / "script.lua"
    body.write_bytes(payload.body)
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in payload.headers.items())
    by_domain = DOMAINS_SCRIPT.format(domains=domains) if domains else ""
    script.write_text(SCRIPT.replace("{body}", str(body)).replace("{headers}", headers) + by_domain)
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(script), url + payload.path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30)
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    if found is None:
        raise RuntimeError(f"wrk printed no result: {done.stdout[-500:]}{done.stderr[-500:]}")
    requests, micros, p50, p99, failed = map(int, found.groups())
    return Load(requests / (micros / 1e6), p50 / 1e3, p99 / 1e3, failed)
