"""Following a job over HTTP: from the start, from any point, by a bounded number of clients."""

import io

import numpy as np

from service.settings import Settings
from tests.conftest import TINY, random_rows, running


def post(service) -> str:
    buffer = io.BytesIO()
    np.save(buffer, random_rows(64))
    answer = service.http.post(
        f"/v1/models/{TINY}/domains/default/adaptations",
        content=buffer.getvalue(),
        headers={"content-type": "application/x-npy"},
    )
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/adaptations/{answer.json()['id']}"
    return answer.json()["id"]


def test_a_stream_begins_at_the_start_or_behind_the_last_event_that_was_seen(service) -> None:
    job = post(service)
    service.http.post(f"/v1/adaptations/{job}/cancel")

    whole = service.http.get(f"/v1/adaptations/{job}/events").text
    rest = service.http.get(f"/v1/adaptations/{job}/events", headers={"Last-Event-ID": "1"}).text

    assert [line for line in whole.splitlines() if line.startswith("id:")] == ["id: 1", "id: 2"]
    assert [line for line in rest.splitlines() if line.startswith("id:")] == ["id: 2"]
    assert '{"state": "cancelled"}' in rest


def test_no_more_clients_may_follow_than_the_setting_allows(tmp_path, tiny) -> None:
    settings = Settings(home=tmp_path / "home", worker=False, refresh_interval_s=0.02, event_streams=1)
    with running(settings, tiny) as service:
        path = f"/v1/adaptations/{post(service)}/events"
        with service.http.stream("GET", path) as first:
            # Kept by name: httpx closes the stream when its iterator is thrown away.
            lines = first.iter_lines()
            next(lines)

            refused = service.http.get(path)

    assert refused.status_code == 429
    assert refused.headers["retry-after"]


def test_the_domain_of_a_first_batch_is_served_as_soon_as_the_batch_is_accepted(service) -> None:
    buffer = io.BytesIO()
    np.save(buffer, random_rows(64))
    service.http.post(
        f"/v1/models/{TINY}/domains/new/adaptations",
        content=buffer.getvalue(),
        headers={"content-type": "application/x-npy"},
    )

    assert service.infer(random_rows(1), domain="new").status_code == 200
