"""What runs now and what ran lately: bounded, and heard without slowing the run down."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final

from cogitate.core.events import Asked, Chunk, Event
from cogitate.core.usage import Budget

from .scene import NODES, Scene, number

RECENT: Final = 100
"""Requests that are kept after their end."""
ALL_NODES: Final = 200_000
"""Nodes of all requests together, beyond which ended ones go, the oldest first."""
_HELD: Final = 256
"""Events that wait to be taken in while nobody looks."""
_SWEEP: Final = 16
"""Requests between two looks for what may go; each list looks, too."""
_LONGEST: Final = 2000
_FITS: Final = re.compile(r"(?!\.+$)[\w.~-]{1,120}", re.ASCII)


class Watched:
    """One request; give it to the driver as its listener.

    An event costs an append: it is taken in when somebody looks, when many wait, or at the end. It may be
    called from any thread. Mutable: it listens.
    """

    def __init__(
        self,
        id: str,
        title: str,
        strategy: str,
        model: str,
        budget: Budget | None,
        key: str,
        *,
        nodes: int = NODES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Use `Hub.begin` instead."""
        self.id, self.title, self.strategy, self.model, self.key = (
            str(said)[:_LONGEST] for said in (id, title, strategy, model, key)
        )
        self.epoch = secrets.token_hex(4)
        """Tells this picture from another of the same name, as after a restart."""
        self.began, self.ended = clock(), 0.0
        self.answer = self.stopped = self.error = ""
        self.unread = 0
        """Events that could not be made sense of."""
        self._clock, self._start, self._took = clock, time.monotonic(), 0.0
        self._heard: deque[tuple[float, Event]] = deque()
        self._scene = Scene(budget, nodes=nodes)
        self._guard = threading.Lock()
        self._dirty = True

    def __call__(self, event: Event) -> None:
        """Hear an event."""
        kind = type(event)
        if kind is Asked or kind is Chunk:  # by far the most, and they change no picture
            return
        self._heard.append((time.monotonic() - self._start, event))
        if len(self._heard) >= _HELD:
            with self._guard:
                self._take()

    def end(self, answer: str = "", *, stopped: str = "", error: str = "") -> None:
        """The request is over.

        Args:
            answer: what was sent; its beginning is kept.
            stopped: why it ended early, such as the unit of the budget that was spent.
            error: why there is no answer.
        """
        with self._guard:
            if self.ended:
                return
            self.answer, self.stopped, self.error = (
                str(said)[:_LONGEST] for said in (answer, stopped, error)
            )
            self._took = time.monotonic() - self._start
            self._take()
            self.ended, self._dirty = self._clock(), True

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return not self.ended

    @property
    def elapsed_s(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._start if self.running else self._took

    @property
    def nodes(self) -> int:
        """Nodes that are held."""
        return self._scene.grove.nodes

    @property
    def version(self) -> int:
        """Of the picture as it was last looked at."""
        return self._scene.version

    @property
    def fresh(self) -> bool:
        """Whether a look would show something new."""
        return self._dirty or bool(self._heard)

    def _take(self) -> None:
        heard, take = self._heard, self._scene.take
        for _ in range(len(heard)):
            at_s, event = heard.popleft()
            self._dirty = True
            try:
                take(event, at_s)
            except Exception:  # whoever looks on must not end a run that is paid for
                self.unread += 1

    def _current(self) -> Scene:
        """The scene with everything that was heard."""
        self._take()
        if self._dirty:
            self._scene.publish()
            self._dirty = False
        return self._scene

    def look(self, since: int = 0, most: int | None = None) -> Look:
        """What is newer than a version.

        Args:
            since: the version that the reader has; 0 for everything.
            most: rows of nodes in one look; the rest follows in `Look.rest`.
        """
        with self._guard:
            scene = self._current()
            if since > scene.version:
                since = 0
            orders = scene.orders(since) if scene.version > since else []
            size = most or len(orders) or 1
            parts = [scene.rows(orders[i : i + size]) for i in range(0, len(orders), size)]
            said = {
                "head": self._row() | scene.picture(),
                "log": [line.to_json() for line in scene.log.since(since)],
                "spending": scene.spending(self.elapsed_s),
            }
            return Look(scene.version, said, parts)

    def whole(self, order: int) -> dict[str, Any] | None:
        """One node with its text and its path; `None` where there is no such node."""
        with self._guard:
            return self._current().whole(order)

    def search(self, words: str) -> list[int]:
        """The nodes whose texts hold these words."""
        with self._guard:
            return self._current().search(words)

    def row(self) -> dict[str, Any]:
        """The request in a list of many."""
        with self._guard:
            self._take()
            return self._row()

    def _row(self) -> dict[str, Any]:
        canopy = self._scene.canopy
        best = canopy.grove.best()[:1]
        return {
            "id": self.id,
            "title": self.title,
            "strategy": self.strategy,
            "model": self.model,
            "key": self.key,
            "began": round(self.began, 3),
            "elapsed_s": round(self.elapsed_s, 3),
            "state": "running" if self.running else "failed" if self.error else "ended",
            "answer": self.answer,
            "stopped": self.stopped,
            "error": self.error,
            "tree": canopy.grove.nodes,
            "tokens": canopy.tokens,
            "unread": self.unread,
            "score": number(best[0].value) if best else None,
        }


class Look:
    """What a reader gets at one time: the rest of the picture, and the rows in parts."""

    __slots__ = ("parts", "said", "version")

    def __init__(self, version: int, said: dict[str, Any], parts: list[list[list[Any]]]) -> None:
        """Made by `Watched.look`."""
        self.version, self.said, self.parts = version, said, parts


class Hub:
    """The requests of a gateway, running and recent.

    >>> hub = Hub()
    >>> watched = hub.begin("r1", title="What is 2 + 2?", strategy="greedy()", model="fake")
    >>> watched.end("4")
    >>> [(row["id"], row["state"], row["answer"]) for row in hub.list()]
    [('r1', 'ended', '4')]
    """

    # Mutable on purpose: requests come and go. Safe to be used from several threads.

    def __init__(
        self,
        *,
        recent: int = RECENT,
        nodes: int = NODES,
        all_nodes: int = ALL_NODES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """An empty hub.

        Args:
            recent: how many requests are kept after their end.
            nodes: how many nodes of one request are kept.
            all_nodes: of all requests together; ended ones go when there are more.
            clock: seconds since the epoch.
        """
        self.recent, self.nodes, self.all_nodes = recent, nodes, all_nodes
        self.gone = 0
        """Requests that are no longer kept."""
        self.closed = False
        self.readers = 0
        """Feeds that are open."""
        self._clock, self._begun = clock, 0
        self._held: OrderedDict[str, Watched] = OrderedDict()
        self._guard = threading.Lock()

    def begin(
        self,
        id: str,
        *,
        title: str = "",
        strategy: str = "",
        model: str = "",
        budget: Budget | None = None,
        key: str = "",
    ) -> Watched:
        """A request begins; the result is its listener, and is told its `end`.

        Args:
            id: its name; one that does not fit into an address, or is taken, is replaced by one that does.
            title: what was asked, in words.
            strategy: as a spec.
            model: as a spec.
            budget: what it may spend.
            key: whose it is: the name of a key, never the key.
        """
        with self._guard:
            if not _FITS.fullmatch(id) or id in self._held:
                id = f"{id if _FITS.fullmatch(id) else 'request'}-{secrets.token_hex(4)}"
            watched = Watched(
                id, title, strategy, model, budget, key, nodes=self.nodes, clock=self._clock
            )
            self._held[id] = watched
            self._begun += 1
            if self._begun % _SWEEP == 0:
                self._forget()
            return watched

    def _forget(self) -> None:
        ended = [watched for watched in self._held.values() if not watched.running]
        nodes = sum(watched.nodes for watched in self._held.values())
        for place, watched in enumerate(ended):
            if len(ended) - place <= self.recent and nodes <= self.all_nodes:
                return
            nodes -= watched.nodes
            self.gone += 1
            del self._held[watched.id]

    def find(self, id: str, key: str | None = None) -> Watched | None:
        """A request by its name; only those of a key, where one is given."""
        watched = self._held.get(id)
        return watched if watched is not None and key in (None, watched.key) else None

    def list(self, key: str | None = None) -> list[dict[str, Any]]:
        """All requests, the newest first; only those of a key, where one is given."""
        with self._guard:
            self._forget()
            held = [w for w in self._held.values() if key in (None, w.key)]
        return [watched.row() for watched in reversed(held)]

    def close(self) -> None:
        """Let every open feed end, as before the server stops."""
        self.closed = True
