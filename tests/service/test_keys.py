"""Keys: who may ask for what. Every route, with every key that is good for something else."""

import json
import re
import socket
import time
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI

from service.app import create_app
from service.auth import EVERYONE, Keyring, Scope, make_key
from service.database import keys
from service.errors import TooManyRequests, Unauthorized
from service.needs import PUBLIC, needs, refuse_undeclared
from service.quota import MOST_BUCKETS, Quotas
from service.routes import ops
from tests.conftest import TINY, random_rows, running

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW")
PARTS = {"model": TINY, "domain": "default", "version": "0"}
READING = {Scope.OBSERVE, Scope.ADMIN}
PROTOCOL = READING | {Scope.PREDICT}
FOLLOWING = READING | {Scope.ADAPT}
# What each route is for, said a second time: the service's own declarations are what is being tested.
ALLOWED = {
    ("GET", "/metrics"): READING,
    ("GET", "/v1/adaptations/{job_id}"): FOLLOWING,
    ("GET", "/v1/adaptations/{job_id}/events"): FOLLOWING,
    ("POST", "/v1/adaptations/{job_id}/cancel"): {Scope.ADAPT, Scope.ADMIN},
    ("POST", "/v1/adaptations/{job_id}/approve"): {Scope.ADMIN},
    ("GET", "/v1/models"): READING,
    ("GET", "/v1/models/{model}"): READING,
    ("GET", "/v1/models/{model}/attestation"): READING,
    ("PUT", "/v1/models/{model}/correction"): {Scope.ADMIN},
    ("POST", "/v1/models/{model}/predict"): {Scope.PREDICT},
    ("GET", "/v1/models/{model}/versions"): READING,
    ("GET", "/v1/models/{model}/versions/{version}"): READING,
    ("GET", "/v1/models/{model}/versions/{version}/corrector.onnx"): PROTOCOL,
    ("GET", "/v1/models/{model}/domains"): FOLLOWING,
    ("GET", "/v1/models/{model}/domains/{domain}"): FOLLOWING,
    ("PUT", "/v1/models/{model}/domains/{domain}"): {Scope.ADMIN},
    ("DELETE", "/v1/models/{model}/domains/{domain}"): {Scope.ADMIN},
    ("POST", "/v1/models/{model}/domains/{domain}/activate"): {Scope.ADMIN},
    ("POST", "/v1/models/{model}/domains/{domain}/rollback"): {Scope.ADMIN},
    ("POST", "/v1/models/{model}/domains/{domain}/adaptations"): {Scope.ADAPT},
    ("POST", "/v2/models/{model}/infer"): {Scope.PREDICT},
    ("POST", "/v2/models/{model}/versions/{version}/infer"): {Scope.PREDICT},
}


def concrete(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda part: PARTS.get(part[1], "0" * 32), path)


@pytest.fixture
def locked(service):
    """A service with keys, and one that nobody in the test holds."""
    service.give_key("someone-else", Scope.ADMIN)
    return service


@pytest.fixture
def paths(service) -> list[str]:
    return sorted(service.http.get("/openapi.json").json()["paths"])


def test_without_a_key_nothing_but_probes_answers_whatever_the_method(paths, locked) -> None:
    answers = {
        (method, path): locked.http.request(method, concrete(path)).status_code
        for path in [*paths, "/openapi.json", "/docs", "/nothing", "/v1", "/%2e%2e/metrics", "//metrics", "/metrics/"]
        for method in METHODS
    }

    assert len(paths) > 20
    # BREW is no method, and the parser says so before anyone is asked who it is.
    refused = (400, 401, 429)
    assert {path for (_, path), status in answers.items() if status not in refused} == PUBLIC
    assert {status for (method, _), status in answers.items() if method == "BREW"} == {400}


def test_each_route_takes_the_scopes_that_it_is_for_and_no_other(paths, locked) -> None:
    headers = {scope: locked.give_key(f"only-{scope}", scope) for scope in Scope}
    documented = locked.http.get("/openapi.json", headers=headers[Scope.ADMIN]).json()["paths"]

    wrong = []
    for path in paths:
        for method in documented[path]:
            allowed = ALLOWED.get((method.upper(), path), PROTOCOL)
            for scope in Scope:
                answer = locked.http.request(method.upper(), concrete(path), headers=headers[scope], json={})
                is_let_in = answer.status_code != 403
                if path not in PUBLIC and is_let_in != (scope in allowed):
                    wrong.append((method, path, scope, answer.status_code))

    assert wrong == []


def test_a_key_of_one_domain_neither_reaches_nor_sees_another(locked) -> None:
    admin = locked.give_key("admin", Scope.ADMIN)
    for name in ("line-1", "line-2"):
        locked.http.put(f"/v1/models/{TINY}/domains/{name}", json={}, headers=admin).raise_for_status()
    own = locked.give_key("own", *Scope, domains=["line-1"])
    http, x = locked.http, random_rows(1)
    request = {"inputs": [{"name": "image", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}]}

    def infer(**headers: str) -> int:
        return http.post(f"/v2/models/{TINY}/infer", json=request, headers={**own, **headers}).status_code

    assert infer(**{"foreoptic-domain": "line-1"}) == 200
    assert infer(**{"foreoptic-domain": "line-2"}) == 403
    # Without a name a request is for `default`, which is not its own either.
    assert infer() == 403
    assert http.get(f"/v1/models/{TINY}/domains/line-2", headers=own).status_code == 403
    assert http.post(f"/v1/models/{TINY}/domains/line-2/adaptations", headers=own).status_code == 403
    assert http.put(f"/v1/models/{TINY}/correction", json={"enabled": False}, headers=own).status_code == 403
    seen = http.get(f"/v1/models/{TINY}/domains", headers=own).json()["domains"]
    assert [domain["domain"] for domain in seen] == ["line-1"]


def test_a_key_of_one_domain_neither_sees_nor_uses_versions_of_another(locked, make_corrector) -> None:
    admin = locked.give_key("admin", Scope.ADMIN)
    for name in ("line-1", "line-2"):
        locked.http.put(f"/v1/models/{TINY}/domains/{name}", json={}, headers=admin).raise_for_status()
    ours, theirs = (
        locked.publish(make_corrector(gain), domain=name) for gain, name in ((0.5, "line-1"), (2, "line-2"))
    )
    own = locked.give_key("own", *Scope, domains=["line-1"])
    folder, x = f"/v1/models/{TINY}/versions", random_rows(1)
    request = {"inputs": [{"name": "image", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}]}

    def status(method: str, path: str, **more) -> int:
        return locked.http.request(method, path, headers={**own, "foreoptic-domain": "line-1"}, **more).status_code

    assert [row["version"] for row in locked.http.get(folder, headers=own).json()["versions"]] == [ours, 0]
    for number, expected in ((ours, 200), (theirs, 404)):
        assert status("GET", f"{folder}/{number}") == expected
        assert status("GET", f"{folder}/{number}/corrector.onnx") == expected
        assert status("POST", f"/v2/models/{TINY}/versions/{number}/infer", json=request) == expected
        assert status("GET", f"/v2/models/{TINY}/versions/{number}/ready") == expected
        activation = {"json": {"version": number}}
        assert status("POST", f"/v1/models/{TINY}/domains/line-1/activate", **activation) == expected
    assert locked.http.get(f"/v2/models/{TINY}", headers=own).json()["versions"] == ["0", str(ours)]
    index = locked.http.post("/v2/repository/index", headers=own).json()
    assert str(theirs) not in [row["version"] for row in index if row["name"] == TINY]
    for path in ("/metrics", "/v2/models/stats"):
        assert status("GET", path) == 403


def test_a_revoked_key_is_refused_as_soon_as_the_database_says_so(locked) -> None:
    headers = locked.give_key("gone", Scope.OBSERVE)
    assert locked.http.get("/v1/models", headers=headers).status_code == 200

    with locked.context.database.write() as connection:
        assert keys.revoke(connection, "gone", time.time())

    deadline = time.monotonic() + 5
    while locked.http.get("/v1/models", headers=headers).status_code == 200:
        assert time.monotonic() < deadline, "a revoked key is still good after 5 s"
        time.sleep(0.02)
    assert locked.http.get("/v1/models", headers=headers).status_code == 401


def test_neither_database_nor_answers_nor_metrics_hold_a_key(locked) -> None:
    headers = locked.give_key("quiet", Scope.OBSERVE)
    key = headers["authorization"].removeprefix("Bearer ")
    secret = key.split("_", 2)[2]

    texts = [locked.http.get(path, headers=headers).text for path in ("/metrics", "/v1/models", "/nothing")]
    files = [path.read_bytes() for path in Path(locked.context.settings.home).glob("foreoptic.db*")]

    assert files
    assert not any(secret in text for text in texts)
    assert not any(secret.encode() in content for content in files)


def test_a_quota_of_images_is_kept_and_says_when_to_come_back(locked) -> None:
    headers = locked.give_key("slow", Scope.PREDICT, predict_per_s=0.5)
    x = random_rows(1)
    request = {"inputs": [{"name": "image", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}]}

    answers = [locked.http.post(f"/v2/models/{TINY}/infer", json=request, headers=headers) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 429, 429]
    assert 1 <= int(answers[1].headers["retry-after"]) <= 2


def test_a_quota_of_batches_is_kept_before_the_body_is_read(locked) -> None:
    headers = {**locked.give_key("batches", Scope.ADAPT, adapt_per_h=1.0), "content-type": "application/x-npy"}
    path = f"/v1/models/{TINY}/domains/default/adaptations"

    statuses = [locked.http.post(path, content=b"not a batch", headers=headers).status_code for _ in range(2)]

    assert statuses == [400, 429]


def test_the_door_stays_shut_when_the_last_key_is_revoked_or_the_table_emptied() -> None:
    keyring = Keyring(open_without_keys=True)
    keyring.replace([])
    assert keyring.authenticate(None, "a") is EVERYONE

    _, row = make_key("one", [Scope.ADMIN], created_at=0.0)
    for rows in ([row], []):
        keyring.replace(rows)
        with pytest.raises(Unauthorized):
            keyring.authenticate(None, "a")


def test_a_key_is_good_until_it_expires_and_not_with_another_secret() -> None:
    now = [100.0]
    keyring = Keyring(open_without_keys=False, clock=lambda: now[0])
    key, row = make_key("one", [Scope.PREDICT], created_at=0.0, expires_at=200.0)
    other, _ = make_key("two", [Scope.PREDICT], created_at=0.0)
    forged = row.id.join(other.split(other.split("_")[1], 1))
    keyring.replace([row])

    assert keyring.authenticate(f"Bearer {key}".encode(), "a").scopes == {Scope.PREDICT}
    for text in (
        "",
        "Bearer",
        f"Bearer {forged}",
        f"Basic {key}",
        key,
        f"Bearer {other}",
        f"Bearer {key} ",
        "\xff" * 80,
    ):
        with pytest.raises(Unauthorized):
            keyring.authenticate(text.encode("latin-1"), "b")
    now[0] = 200.0
    with pytest.raises(Unauthorized):
        keyring.authenticate(f"Bearer {key}".encode(), "a")


def test_failures_are_limited_by_address_and_a_good_key_is_let_in_all_the_same() -> None:
    keyring = Keyring(open_without_keys=False)
    key, row = make_key("one", [Scope.PREDICT], created_at=0.0)
    keyring.replace([row])
    failures = []
    for _ in range(20):
        with pytest.raises((Unauthorized, TooManyRequests)) as caught:
            keyring.authenticate(None, "10.0.0.1")
        failures.append(caught.value.status)

    assert failures[:10] == [401] * 10
    assert set(failures[10:]) == {429}
    keyring.authenticate(f"Bearer {key}".encode(), "10.0.0.1")
    with pytest.raises(Unauthorized):
        keyring.authenticate(None, "10.0.0.2")


def test_a_bucket_gives_its_burst_then_its_rate_and_forgets_the_oldest() -> None:
    now = [0.0]
    quotas = Quotas(clock=lambda: now[0])

    assert [quotas.take("a", 1, per_s=2.0, burst=3.0) for _ in range(4)] == [0, 0, 0, 1]
    now[0] = 0.5
    assert quotas.take("a", 1, per_s=2.0, burst=3.0) == 0
    # More than a bucket holds is given when it is full, and paid for afterwards.
    now[0] = 10.0
    assert quotas.take("a", 9, per_s=2.0, burst=3.0) == 0
    assert quotas.take("a", 1, per_s=2.0, burst=3.0) == 4
    for index in range(MOST_BUCKETS):
        quotas.take(f"other {index}", 1, per_s=2.0, burst=3.0)
    assert quotas.take("a", 1, per_s=2.0, burst=3.0) == 0


def test_a_route_that_declares_nothing_is_no_service() -> None:
    router = APIRouter(prefix="/v1")
    router.get("/open", dependencies=needs(Scope.OBSERVE))(lambda: {})
    refuse_undeclared(router.routes)

    router.get("/secrets")(lambda: {})

    with pytest.raises(TypeError, match="/v1/secrets"):
        refuse_undeclared(router.routes)


def test_what_is_no_plain_route_is_no_service_either() -> None:
    router = APIRouter()
    router.mount("/files", FastAPI())

    with pytest.raises(TypeError, match="Mount"):
        refuse_undeclared(router.routes)


def test_a_service_with_an_undeclared_route_does_not_start(settings, monkeypatch) -> None:
    undeclared = APIRouter()
    undeclared.get("/secrets")(lambda: {})
    monkeypatch.setattr(ops, "router", undeclared)

    with pytest.raises(TypeError, match="/secrets"):
        create_app(settings)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "127.0.0.1.evil.example", "a@127.0.0.1"])
def test_on_loopback_a_host_of_somebody_else_is_turned_away(shared_service, host: str) -> None:
    answer = shared_service.http.get("/healthz", headers={"host": host})

    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:9", "[::1]:8000", "[::1]", "::1"])
def test_names_of_loopback_are_answered(shared_service, host: str) -> None:
    assert shared_service.http.get("/healthz", headers={"host": host}).status_code == 200


def test_hosts_that_are_named_are_the_only_ones(settings, tiny) -> None:
    with running(settings.model_copy(update={"hosts": ("vision.example",)}), tiny) as service:
        assert service.http.get("/healthz").status_code == 421
        assert service.http.get("/healthz", headers={"host": "vision.example:443"}).status_code == 200


def test_a_problem_of_a_missing_key_names_the_scheme(locked) -> None:
    answer = locked.http.get("/v1/models")

    assert answer.headers["www-authenticate"] == "Bearer"
    assert json.loads(answer.content)["status"] == 401


def test_bodies_are_not_waited_for_where_the_key_is_missing(locked) -> None:
    host, port = locked.url.removeprefix("http://").split(":")
    head = f"POST /v2/models/{TINY}/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n"

    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(head.encode())

        assert client.recv(65536).startswith(b"HTTP/1.1 401 ")
