"""What a monitor reads: requests, seconds, tokens and calls, in a registry of their own.

Counting is adding to numbers of ours; they become Prometheus' own when they are read, which is seldom.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cogitate.core.usage import Usage

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_BOUNDS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)


@dataclass(slots=True)
class Spread:
    """A histogram. Mutable: it counts."""

    total: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS) + 1))

    def add(self, value: float) -> None:
        """One more."""
        self.total += value
        self.counts[bisect_left(_BOUNDS, value)] += 1

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus has them: each counts what is at most its bound."""
        found: list[tuple[str, float]] = []
        running = 0
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self.counts, strict=True):
            running += count
            found.append((bound, float(running)))
        return found


@dataclass(slots=True)
class Row:
    """What one model did under one strategy. Mutable: it counts."""

    statuses: dict[int, int] = field(default_factory=dict[int, int])
    seconds: Spread = field(default_factory=Spread)
    own: Spread = field(default_factory=Spread)
    calls: int = 0
    tokens_in: int = 0
    cached: int = 0
    tokens_out: int = 0
    usd: float = 0.0


class Metrics:
    """Counters by model and strategy; neither is taken from what a client invents. Mutable: they count."""

    def __init__(self) -> None:
        """All at zero."""
        self.in_flight = 0
        self._waiting = 0
        self._rows: dict[tuple[str, str], Row] = {}

    def ended(
        self, model: str, strategy: str, status: int, seconds: float, own_ms: float, usage: Usage
    ) -> None:
        """A request is over."""
        row = self._rows.get((model, strategy))
        if row is None:
            row = self._rows[model, strategy] = Row()
        row.statuses[status] = row.statuses.get(status, 0) + 1
        row.seconds.add(seconds)
        row.own.add(own_ms / 1000)
        row.calls += usage.calls
        row.tokens_in += usage.tokens_in
        row.cached += usage.tokens_cached
        row.tokens_out += usage.tokens_out
        row.usd += usage.usd or 0.0

    def text(self, waiting: int = 0) -> bytes:
        """All of them, as Prometheus reads them.

        Args:
            waiting: requests that wait for their turn.
        """
        from prometheus_client import CollectorRegistry, generate_latest

        self._waiting = waiting
        registry: Any = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """The families, for a registry."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        labels = ["model", "strategy"]
        requests = CounterMetricFamily(
            "cogitate_requests", "Requests by how they ended.", labels=[*labels, "status"]
        )
        tokens = CounterMetricFamily(
            "cogitate_tokens", "Tokens read, found cached, generated.", labels=[*labels, "kind"]
        )
        calls = CounterMetricFamily("cogitate_upstream_calls", "Calls of models.", labels=labels)
        usd = CounterMetricFamily("cogitate_usd", "Money, where prices are known.", labels=labels)
        seconds = HistogramMetricFamily(
            "cogitate_request_seconds", "Wall-clock of a request.", labels=labels
        )
        own = HistogramMetricFamily(
            "cogitate_overhead_seconds", "The part without a model at work.", labels=labels
        )
        for (model, strategy), row in self._rows.items():
            at = [model, strategy]
            for status, count in row.statuses.items():
                requests.add_metric([*at, str(status)], count)
            for kind, count in (
                ("in", row.tokens_in),
                ("cached", row.cached),
                ("out", row.tokens_out),
            ):
                tokens.add_metric([*at, kind], count)
            calls.add_metric(at, row.calls)
            usd.add_metric(at, row.usd)
            seconds.add_metric(at, row.seconds.buckets(), row.seconds.total)
            own.add_metric(at, row.own.buckets(), row.own.total)
        yield from (requests, tokens, calls, usd, seconds, own)
        yield GaugeMetricFamily("cogitate_in_flight", "Being served.", self.in_flight)
        yield GaugeMetricFamily("cogitate_waiting", "Waiting for their turn.", self._waiting)
