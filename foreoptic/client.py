"""A thin client of the native interface, on httpx. Users of the Open Inference Protocol need none of it."""

import json
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import httpx

TIMEOUT_S = 30.0


class ServiceError(Exception):
    """The service answered with a problem; the message is its detail."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{detail} (HTTP {status})")
        self.status = status


class Client:
    """One service, one model.

    Args:
        url: where the service listens.
        model: name of the frozen model.
        key: API key, where the service wants one.
    """

    def __init__(self, url: str, model: str, *, key: str | None = None) -> None:
        self._http = httpx.Client(
            base_url=url, timeout=TIMEOUT_S, headers={"authorization": f"Bearer {key}"} if key else None
        )
        self._model = f"/v1/models/{model}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def model(self) -> dict[str, Any]:
        """Input, labels, domains and SHA-256 of the frozen model."""
        return self._json("GET", self._model)

    def predict(self, picture: bytes, *, domain: str = "default", top_k: int = 1) -> dict[str, Any]:
        """Classify one PNG or JPEG."""
        return self._json("POST", f"{self._model}/predict", content=picture, params={"domain": domain, "top_k": top_k})

    def adapt(self, body: bytes, *, content_type: str, domain: str, method: str = "homogenizer") -> dict[str, Any]:
        """Post an unlabelled batch; returns the job."""
        path = f"{self._model}/domains/{domain}/adaptations"
        headers = {"content-type": content_type}
        return self._json("POST", path, content=body, params={"method": method}, headers=headers)

    def adaptation(self, job_id: str) -> dict[str, Any]:
        """Where a job stands."""
        return self._json("GET", f"/v1/adaptations/{job_id}")

    def follow(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The events of a job, from the first, until it ends; an empty one now and then while nothing happens."""
        with self._http.stream("GET", f"/v1/adaptations/{job_id}/events", timeout=None) as response:
            if response.status_code != httpx.codes.OK:
                response.read()
                raise _problem(response)
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))
                elif line.startswith(":"):
                    # The service's sign of life while nothing happens.
                    yield {}

    def attestation(self) -> dict[str, Any]:
        """Which bytes answer, and how they are run."""
        return self._json("GET", f"{self._model}/attestation")

    def domain(self, name: str) -> dict[str, Any]:
        """Aliases and settings of a domain."""
        return self._json("GET", f"{self._model}/domains/{name}")

    def versions(self) -> list[dict[str, Any]]:
        """Published versions, newest first."""
        found: list[dict[str, Any]] = self._json("GET", f"{self._model}/versions")["versions"]
        return found

    def version(self, number: int) -> dict[str, Any]:
        """One version with its manifest."""
        return self._json("GET", f"{self._model}/versions/{number}")

    def corrector(self, number: int) -> bytes:
        """A version's ONNX file."""
        response = self._http.get(f"{self._model}/versions/{number}/corrector.onnx")
        if response.status_code != httpx.codes.OK:
            raise _problem(response)
        return response.content

    def activate(self, domain: str, version: int) -> dict[str, Any]:
        """Make a version champion."""
        return self._json("POST", f"{self._model}/domains/{domain}/activate", json={"version": version})

    def roll_back(self, domain: str) -> dict[str, Any]:
        """Make the previous champion champion again."""
        return self._json("POST", f"{self._model}/domains/{domain}/rollback")

    def _json(self, verb: str, path: str, **arguments: Any) -> dict[str, Any]:
        response = self._http.request(verb, path, **arguments)
        if not response.is_success:
            raise _problem(response)
        document: dict[str, Any] = response.json()
        return document


def _problem(response: httpx.Response) -> ServiceError:
    try:
        detail = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = response.reason_phrase
    return ServiceError(response.status_code, detail)
