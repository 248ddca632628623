"""What a client makes up becomes no metric series: memory and dashboards stay what they are."""

import asyncio
import random

from prometheus_client import CollectorRegistry

from service.app import create_app

BUDGET = 400
"""Samples of a service with one model and one domain, all of its routes asked for."""
WORDS = 10_000


def samples(registry: CollectorRegistry) -> int:
    return sum(len(family.samples) for family in registry.collect())


def test_ten_thousand_made_up_domains_paths_methods_and_versions_stay_within_the_budget(settings) -> None:
    draw = random.Random(0)  # words, no secrets
    app = create_app(settings)
    registry = app.context.metrics.registry

    async def ask(method: str, path: str, **headers: str) -> None:
        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"{}"}

        async def send(_message: object) -> None:
            pass

        raw = [(b"host", b"localhost"), *((name.encode(), text.encode()) for name, text in headers.items())]
        scope = {"type": "http", "method": method, "path": path, "headers": raw, "query_string": b"", "client": None}
        await app(scope, receive, send)

    async def ask_for(word: str) -> None:
        await ask("POST", "/v1/models/digits/predict", **{"foreoptic-domain": word, "foreoptic-device": word})
        await ask("POST", f"/v2/models/digits/versions/{word}/infer", **{"user-agent": word})
        await ask("POST", f"/v1/models/{word}/predict")
        await ask(word.upper(), f"/{word}/{word}")

    async def ask_for_all() -> tuple[int, int]:
        await asyncio.to_thread(app.context.registry.refresh)
        for word in ("first", "second"):
            await ask_for(word)
        before = samples(registry)
        for _ in range(WORDS // 4):
            await ask_for("".join(draw.choices("abcdefghijklmnopqrstuvwxyz-_%./ ", k=draw.randint(1, 60))))
        return before, samples(registry)

    before, after = asyncio.run(ask_for_all())

    assert before == after <= BUDGET
    app.context.database.close()
    app.context.queue.close()
