"""What a monitor reads: requests, seconds, tokens and calls, in a registry of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cogitate.core.usage import Usage

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Counters by model and strategy; neither is taken from what a client invents. Mutable: they count."""

    def __init__(self) -> None:
        """All at zero."""
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry: CollectorRegistry = CollectorRegistry()
        labels = ("model", "strategy")
        self._requests = Counter(
            "cogitate_requests",
            "Requests by how they ended.",
            (*labels, "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "cogitate_request_seconds",
            "Wall-clock of a request.",
            labels,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._own = Histogram(
            "cogitate_overhead_seconds",
            "The part of it in which no model worked for it.",
            labels,
            buckets=(0.0005, 0.001, 0.0025, *_SECONDS),
            registry=self.registry,
        )
        self._calls = Counter(
            "cogitate_upstream_calls", "Calls of models.", labels, registry=self.registry
        )
        self._tokens = Counter(
            "cogitate_tokens",
            "Tokens read, found cached, and generated.",
            (*labels, "direction"),
            registry=self.registry,
        )
        self._usd = Counter(
            "cogitate_usd", "Money where the price is known.", labels, registry=self.registry
        )
        self.in_flight = Gauge(
            "cogitate_in_flight", "Requests being served.", registry=self.registry
        )
        self.waiting = Gauge(
            "cogitate_waiting", "Requests that wait for their turn.", registry=self.registry
        )
        self._known: dict[tuple[str, str], tuple[Any, ...]] = {}
        self._statuses: dict[tuple[str, str, int], Any] = {}

    def ended(
        self, model: str, strategy: str, status: int, seconds: float, own_ms: float, usage: Usage
    ) -> None:
        """A request is over."""
        known = self._known.get((model, strategy))
        if known is None:
            labels = (model, strategy)
            known = self._known[labels] = (
                self._seconds.labels(*labels),
                self._own.labels(*labels),
                self._calls.labels(*labels),
                *(self._tokens.labels(*labels, way) for way in ("in", "cached", "out")),
                self._usd.labels(*labels),
            )
        total, own, calls, tokens_in, cached, out, usd = known
        total.observe(seconds)
        own.observe(own_ms / 1000)
        calls.inc(usage.calls)
        tokens_in.inc(usage.tokens_in)
        out.inc(usage.tokens_out)
        if usage.tokens_cached:
            cached.inc(usage.tokens_cached)
        if usage.usd:
            usd.inc(usage.usd)
        counted = (model, strategy, status)
        if (counter := self._statuses.get(counted)) is None:
            labels = (model, strategy, str(status))
            counter = self._statuses[counted] = self._requests.labels(*labels)
        counter.inc()

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
