"""Clients that are slow or talk too much: they are let go, and nobody else notices."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.connection import ANSWER_S, BODY_BYTES_PER_S, BODY_S, FIRST_BYTE_S, HEAD_S, MOST_HEAD_BYTES, MOST_HEADERS
from tests.conftest import TINY

PATH = f"/v2/models/{TINY}/infer"
HEAD = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n".encode()


@contextmanager
def connected(service) -> Iterator[tuple[socket.socket, object]]:
    """A raw client, and the service's side of it."""
    before = set(service.connections)
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        yield client, eventually(lambda: next(iter(set(service.connections) - before), None))


def eventually(ask):
    deadline = time.monotonic() + 10
    while not (answer := ask()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return answer


def overdue_after(connection, seconds: float) -> bool:
    return connection.is_overdue(connection._since + seconds)


def end(connection) -> None:
    connection.loop.call_soon_threadsafe(connection.end)


def received(client: socket.socket) -> bytes:
    parts = []
    while part := client.recv(65536):
        parts.append(part)
    return b"".join(parts)


def waits_for(connection, what: str) -> None:
    eventually(lambda: connection._wait.name == what)


def test_who_says_nothing_is_let_go(shared_service) -> None:
    with connected(shared_service) as (client, connection):
        assert not overdue_after(connection, FIRST_BYTE_S - 1)
        assert overdue_after(connection, FIRST_BYTE_S + 1)
        end(connection)
        assert received(client) == b""


@pytest.mark.parametrize("part", [b"P", b"POST / HTTP/1.1\r\nhost: a\r\nO"])
def test_a_head_that_does_not_end_is_answered_408(shared_service, part: bytes) -> None:
    with connected(shared_service) as (client, connection):
        client.sendall(part)
        waits_for(connection, "HEAD")

        assert not overdue_after(connection, HEAD_S - 1)
        assert overdue_after(connection, HEAD_S + 1)
        # Another byte now and then buys no time.
        client.sendall(b"O")
        assert overdue_after(connection, HEAD_S + 1)
        end(connection)
        assert received(client).startswith(b"HTTP/1.1 408 ")


def test_a_body_keeps_a_pace_or_is_answered_408(shared_service) -> None:
    with connected(shared_service) as (client, connection):
        client.sendall(HEAD)
        waits_for(connection, "BODY")
        assert not overdue_after(connection, BODY_S - 1)
        assert overdue_after(connection, BODY_S + 1)

        client.sendall(b"x" * BODY_BYTES_PER_S)
        eventually(lambda: connection._body_bytes == BODY_BYTES_PER_S)

        assert not overdue_after(connection, BODY_S + 0.5)
        assert overdue_after(connection, BODY_S + 1.5)
        end(connection)
        assert received(client).startswith(b"HTTP/1.1 408 ")


def test_a_connection_that_was_answered_and_stays_idle_is_let_go_stray_bytes_or_not(shared_service) -> None:
    with connected(shared_service) as (client, connection):
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        waits_for(connection, "REQUEST")
        client.sendall(b"\r\n")

        assert not overdue_after(connection, FIRST_BYTE_S - 1)
        assert overdue_after(connection, FIRST_BYTE_S + 1)


def test_a_body_that_was_answered_early_gets_one_answer_and_keeps_its_pace(shared_service) -> None:
    with connected(shared_service) as (client, connection):
        client.sendall(HEAD.replace(TINY.encode(), b"nobody"))
        assert client.recv(65536).startswith(b"HTTP/1.1 404 ")

        assert overdue_after(connection, BODY_S + 1)
        end(connection)
        assert received(client) == b""


def test_who_does_not_take_an_answer_is_let_go_whatever_else_is_sent(shared_service) -> None:
    ask = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with connected(shared_service) as (client, connection):
        client.sendall(ask * 2000)
        eventually(lambda: connection._not_taken_since is not None)

        assert connection.is_overdue(connection._not_taken_since + ANSWER_S + 1)
        end(connection)
        eventually(lambda: connection not in shared_service.connections)


@pytest.mark.parametrize("trailer", ["authorization: Bearer x", "host: elsewhere", "x: " + "y" * 100])
def test_headers_behind_a_body_are_not_taken(shared_service, trailer: str) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    with connected(shared_service) as (client, _):
        client.sendall(f"{head}2\r\n{{}}\r\n0\r\n{trailer}\r\n\r\n".encode())

        assert received(client).startswith(b"HTTP/1.1 400 ")


def test_a_large_body_and_the_first_bytes_of_the_next_head_in_one_packet_are_both_taken(shared_service) -> None:
    body = b"x" * 30_000
    head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    with connected(shared_service) as (client, _):
        client.sendall(head + body + b"GET /healthz HTT")
        answer = client.recv(65536)
        client.sendall(b"P/1.1\r\nhost: localhost\r\n\r\n")

        assert answer.startswith(b"HTTP/1.1 400 ")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-large: " + b"x" * MOST_HEAD_BYTES + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n" + b"x-many: 1\r\n" * MOST_HEADERS + b"\r\n",
        b"GET /" + b"x" * MOST_HEAD_BYTES + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-endless: " + b"x" * (2 * MOST_HEAD_BYTES),
    ],
    ids=["large", "many", "address", "endless"],
)
def test_a_head_that_is_too_large_is_answered_431(shared_service, head: bytes) -> None:
    with connected(shared_service) as (client, _):
        client.sendall(head)

        answer = received(client)
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b"application/problem+json" in answer


def test_what_is_no_http_is_answered_400(shared_service) -> None:
    with connected(shared_service) as (client, _):
        client.sendall(b"\x16\x03\x01 hello\r\n\r\n")

        answer = received(client)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"connection: close" in answer


def test_requests_in_one_packet_are_answered_in_order(shared_service) -> None:
    ask = b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\nx-request-id: %d\r\n\r\n"
    with connected(shared_service) as (client, _):
        client.sendall(b"".join(ask % number for number in range(5)))

        answer = b""
        while answer.count(b'{"live":true}') < 5:
            answer += client.recv(65536)
    places = [answer.index(b"x-request-id: %d" % number) for number in range(5)]
    assert places == sorted(places)


def test_an_answer_without_a_body_leaves_at_once(shared_service) -> None:
    with connected(shared_service) as (client, _):
        client.sendall(b"HEAD /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")

        assert client.recv(65536).startswith(b"HTTP/1.1 ")


def test_good_clients_are_served_beside_a_hundred_slow_ones(shared_service) -> None:
    host, port = shared_service.url.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port)), timeout=10) for _ in range(100)]
    try:
        for place, client in enumerate(slow):
            client.sendall(HEAD if place % 2 else HEAD[:20])
        assert all(shared_service.http.get("/healthz").status_code == 200 for _ in range(50))
    finally:
        for client in slow:
            client.close()
