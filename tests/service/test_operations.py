"""Domains, aliases, versions, attestation, health: the operator's side over HTTP."""

from tests.conftest import TINY, random_rows

DOMAIN = f"/v1/models/{TINY}/domains/default"


def test_a_domain_is_created_configured_and_deleted(service) -> None:
    path = f"/v1/models/{TINY}/domains/night"

    created = service.http.put(path, json={"mode": "recommend"})
    changed = service.http.put(path, json={"mode": "auto", "canary_share": 0.1})
    deleted = service.http.delete(path)

    assert (created.status_code, created.json()["mode"]) == (201, "recommend")
    assert (changed.status_code, changed.json()["canary_share"]) == (200, 0.1)
    assert changed.json()["generation"] == created.json()["generation"] + 1
    assert (deleted.status_code, service.http.get(path).status_code) == (204, 404)


def test_the_series_of_a_domain_go_with_it(service) -> None:
    path = f"/v1/models/{TINY}/domains/night"
    series = f'foreoptic_active_version{{domain="night",model="{TINY}"}}'
    service.http.put(path, json={})
    before = series in service.http.get("/metrics").text

    service.http.delete(path)

    assert (before, series in service.http.get("/metrics").text) == (True, False)


def test_the_default_domain_cannot_be_deleted(service) -> None:
    assert service.http.delete(DOMAIN).status_code == 409


def test_a_rollback_goes_back_and_a_second_one_forward_again(service, make_corrector) -> None:
    first, second = (service.publish(make_corrector(gain)) for gain in (0.5, 0.25))
    service.activate(first)
    service.activate(second)

    champions = [service.http.post(f"{DOMAIN}/rollback").json()["aliases"]["champion"] for _ in range(2)]

    assert [first, second] == champions


def test_a_rollback_without_a_past_is_a_conflict(service) -> None:
    assert service.http.post(f"{DOMAIN}/rollback").status_code == 409


def test_an_alias_moves_only_if_the_generation_is_the_one_that_was_seen(service, make_corrector) -> None:
    number = service.publish(make_corrector(0.5))
    etag = service.http.get(DOMAIN).headers["etag"]
    body = {"version": number}

    moved = service.http.post(f"{DOMAIN}/activate", json=body, headers={"If-Match": etag})
    stale = service.http.post(f"{DOMAIN}/activate", json={"version": 0}, headers={"If-Match": etag})

    assert (moved.status_code, stale.status_code) == (200, 409)
    assert service.http.get(DOMAIN).json()["aliases"]["champion"] == number


def test_activating_an_unknown_version_is_404_and_moves_nothing(service) -> None:
    assert service.http.post(f"{DOMAIN}/activate", json={"version": 5}).status_code == 404
    assert service.http.get(DOMAIN).json()["aliases"]["champion"] == 0


def test_activating_a_damaged_version_is_503_and_the_champion_stays(service, make_corrector) -> None:
    good = service.publish(make_corrector(0.5))
    service.activate(good)
    bad = service.publish(make_corrector(0.5, **{"golden.npz": b"nothing"}))

    assert service.http.post(f"{DOMAIN}/activate", json={"version": bad}).status_code == 503
    assert service.infer(random_rows(1)).json()["model_version"] == str(good)


def test_versions_are_listed_newest_first_and_end_with_the_identity(service, make_corrector) -> None:
    for gain in (0.5, 0.25):
        service.publish(make_corrector(gain))

    listed = service.http.get(f"/v1/models/{TINY}/versions").json()["versions"]
    one = service.http.get(f"/v1/models/{TINY}/versions/2").json()

    assert [2, 1, 0] == [item["version"] for item in listed]
    assert one["manifest"]["stages"] == ["gain"]


def test_the_attestation_names_the_bytes_and_how_they_are_run(service, tiny) -> None:
    document = service.http.get(f"/v1/models/{TINY}/attestation").json()

    assert document["frozen_sha256"] == tiny.manifest.frozen_sha256
    assert document["session_options"]["intra_op_num_threads"] == "2"
    assert document["runtime"]["name"] == "onnxruntime"


def test_health_and_readiness_of_both_protocols(service) -> None:
    answers = {path: service.http.get(path) for path in ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready")}

    assert {200} == {answer.status_code for answer in answers.values()}
    assert answers["/v2/health/live"].json() == {"live": True}
    assert answers["/v2/health/ready"].json() == {"live": True, "ready": True}
    assert TINY in answers["/readyz"].json()["models"]


def test_v2_metadata_describes_the_model(service) -> None:
    server, model = service.http.get("/v2").json(), service.http.get(f"/v2/models/{TINY}").json()

    assert server["name"] == "foreoptic"
    assert model["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8]}]
    assert model["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 4]}]
    assert service.http.get(f"/v2/models/{TINY}/versions/0/ready").json() == {"name": TINY, "ready": True}
    assert service.http.get(f"/v2/models/{TINY}/versions/7/ready").status_code == 404


def test_metrics_count_images_by_what_became_of_them(service, make_corrector) -> None:
    service.activate(service.publish(make_corrector(0.5)))
    service.infer(random_rows(3))
    service.infer(random_rows(2), version="0")

    text = service.http.get("/metrics").text

    assert f'foreoptic_images_total{{decision="corrected",model="{TINY}"}} 3.0' in text
    assert f'foreoptic_images_total{{decision="uncorrected",model="{TINY}"}} 2.0' in text
    assert f'foreoptic_active_version{{domain="default",model="{TINY}"}} 1.0' in text


def test_the_openapi_document_holds_the_hot_path_too(service) -> None:
    paths = service.http.get("/openapi.json").json()["paths"]

    assert "/v1/models/{model}/predict" in paths
    assert "/v2/models/{model}/infer" in paths
    assert "/v1/models/{model}/domains/{domain}/adaptations" in paths
