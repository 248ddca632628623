"""Rule 5: nobody can hand the service a graph. Whatever path, method and media type: refused, and nothing changes."""

import base64
import json
import re
from pathlib import Path

import pytest

from tests.conftest import TINY

PARTS = {"model": TINY, "domain": "default", "version": "0"}
METHODS = ("POST", "PUT", "PATCH", "DELETE")
TYPES = (
    None,
    "application/octet-stream",
    "application/onnx",
    "application/x-protobuf",
    "application/x-npy",
    "application/x-npz",
    "application/zip",
    "application/json",
    "multipart/form-data; boundary=x",
)
REFUSED = {400, 404, 405, 409, 415, 422, 501}
LISTING = ("POST", "/v2/repository/index")
"""Lists what is there, and reads no body."""


def kept(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for folder in ("store", "jobs") for path in (home / folder).rglob("*")}


def concrete(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda part: PARTS.get(part[1], "0" * 32), path)


def test_no_route_takes_a_graph(shared_service, tiny_onnx: bytes) -> None:
    http, home = shared_service.http, shared_service.context.settings.home
    paths = http.get("/openapi.json").json()["paths"]
    before = kept(home), http.get("/v1/models").json(), http.get(f"/v1/models/{TINY}/versions").json()

    answers = {
        (method, path, kind): http.request(
            method, concrete(path), content=tiny_onnx, headers={"content-type": kind} if kind else {}
        ).status_code
        for path in paths
        for method in METHODS
        for kind in TYPES
    }

    assert len(paths) > 20
    assert {} == {place: status for place, status in answers.items() if status not in REFUSED and place[:2] != LISTING}
    assert before == (kept(home), http.get("/v1/models").json(), http.get(f"/v1/models/{TINY}/versions").json())


@pytest.mark.parametrize(
    "path",
    [
        "/v2/repository/models/intruder/load",
        f"/v2/repository/models/{TINY}/load",
        "/v1/models/intruder",
        f"/v1/models/{TINY}/versions/1/corrector.onnx",
        f"/v1/models/{TINY}/versions",
        "/models",
        "/upload",
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_what_other_servers_take_a_model_by_is_not_there(
    shared_service, tiny_onnx: bytes, path: str, method: str
) -> None:
    encoded = base64.b64encode(tiny_onnx).decode()
    body = json.dumps({"parameters": {"config": "{}", "file:1/model.onnx": encoded}})

    assert shared_service.http.request(method, path, content=body).status_code in (404, 405, 501)
    assert "intruder" not in shared_service.http.get("/v1/models").text
