"""Every metric of the service: base units in the names, labels from closed sets only.

`model` is a name that an administrator gave, `domain` one that a batch may have created, so that the number of series
with it is capped; a request's own words never become a label.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from service.plain_metrics import PlainCounter, PlainHistogram
from service.tally import Tally, TritonNames

CONTENT_TYPE = CONTENT_TYPE_LATEST

# From a fifth of a millisecond (a digit on one processor) to 10 s (a large batch on a slow device).
_SECONDS = (0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
DOMAINS_SHOWN = 100
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """One set of metrics, in a registry of its own so that two services in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self._requests = PlainCounter("foreoptic_requests", "Answered requests.", ["route", "code"])
        self._request_seconds = PlainHistogram(
            "foreoptic_request_duration_seconds", "From first byte to last.", ["route"], _SECONDS
        )
        self._images = PlainCounter("foreoptic_images", "Images answered.", ["model", "decision"])
        for each in (self._requests, self._request_seconds, self._images):
            own.register(each)
        self.batch_images = Histogram(
            "foreoptic_batch_images", "Images in one run of the frozen model.", ["model"], buckets=_IMAGES, registry=own
        )
        self.run_seconds = Histogram(
            "foreoptic_run_duration_seconds",
            "One batch through the pipeline.",
            ["model"],
            buckets=_SECONDS,
            registry=own,
        )
        self.queued_images = Gauge("foreoptic_queued_images", "Images waiting.", ["model"], registry=own)
        self.shed = Counter("foreoptic_shed", "Requests refused because the queue was full.", ["model"], registry=own)
        self.jobs = Gauge("foreoptic_jobs", "Adaptation jobs by state.", ["state"], registry=own)
        self.active = Gauge(
            "foreoptic_active_version", "Version that serves a domain.", ["model", "domain"], registry=own
        )
        self.activations = Counter(
            "foreoptic_activations", "Attempts to swap a version.", ["model", "outcome"], registry=own
        )
        self.worker_starts = Counter("foreoptic_worker_starts", "Starts of the worker process.", registry=own)
        self._shown_active: set[tuple[str, str]] = set()
        self.tally = Tally()
        own.register(TritonNames(self.tally))
        self.ready = Gauge("foreoptic_ready", "1 if /readyz would say yes.", registry=own)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """One answered request; route and status are of closed sets. On the event loop only."""
        self._requests.inc((route, str(status)))
        self._request_seconds.observe((route,), seconds)

    def count_images(self, model: str, decision: str, images: int) -> None:
        """Answered images. On the event loop only."""
        self._images.inc((model, decision), images)

    def show_active(self, versions: Mapping[tuple[str, str], int]) -> None:
        """The version of every (model, domain), up to DOMAINS_SHOWN: batches create domains, series cost memory."""
        shown = dict(sorted(versions.items())[:DOMAINS_SHOWN])
        for gone in self._shown_active - set(shown):
            self.active.remove(*gone)
        for (model, domain), number in shown.items():
            self.active.labels(model, domain).set(number)
        self._shown_active = set(shown)

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)
