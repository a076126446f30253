"""What is counted, for Prometheus. Labels are configured names and route templates, never what was sent."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from whence.api.service.queue import Queue
from whence.api.service.store import Store

MEDIA_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "whence_requests", "Answered requests.", ("method", "route", "status"), registry=self._registry
        )
        self.request_seconds = Histogram(
            "whence_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self.explanations = Counter(
            "whence_explanations",
            "Explanations asked for, by how they ended.",
            ("model", "outcome"),
            registry=self._registry,
        )
        self.explanation_seconds = Histogram(
            "whence_explanation_seconds",
            "From a request to its explanation, the waiting included.",
            ("model",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._running = Gauge("whence_running", "Requests at a model.", ("model",), registry=self._registry)
        self._waiting = Gauge(
            "whence_waiting", "Requests that wait for a model.", ("model",), registry=self._registry
        )
        self._kept = Gauge("whence_kept_explanations", "Explanations in memory.", registry=self._registry)
        self._kept_bytes = Gauge("whence_kept_bytes", "What they take.", registry=self._registry)

    def watch_queue(self, model: str, queue: Queue) -> None:
        """Show how many are at a model, and how many wait for it."""
        self._running.labels(model).set_function(lambda: queue.running)
        self._waiting.labels(model).set_function(lambda: queue.waiting)

    def watch_store(self, store: Store) -> None:
        """Show how much is kept."""
        self._kept.set_function(lambda: len(store))
        self._kept_bytes.set_function(lambda: store.size_bytes)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)
