"""The contracts between the rooms; what a search may ask of a process, and a driver of an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from .candidates import Artifact, Critique, Ranking, Score, Unscored
from .errors import Failed
from .requests import Reply, Request
from .seeds import Seed
from .task import Task
from .usage import Budget, Usage

S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)
M = TypeVar("M")
P_contra = TypeVar("P_contra", contravariant=True)


class Process(Protocol[S]):
    """A generative process that can be paused, branched and continued between steps."""

    async def start(self, task: Task, seed: Seed) -> S: ...
    async def step(self, state: S, seed: Seed) -> S: ...
    def done(self, state: S) -> bool: ...
    async def render(self, state: S) -> Artifact: ...


@runtime_checkable
class Previewable(Protocol[S_contra]):
    """A cheap look at a partial state."""

    async def preview(self, state: S_contra) -> Artifact: ...


@runtime_checkable
class Revisable(Protocol[S]):
    """Can improve a state given what is wrong with it."""

    async def revise(self, state: S, critique: Critique, seed: Seed) -> S: ...


@runtime_checkable
class Mutable(Protocol[S]):
    """Can make a new state from parents."""

    async def mutate(self, parents: Sequence[S], seed: Seed) -> S: ...


class RevisableProcess(Process[S], Revisable[S], Protocol[S]):
    """A process that can revise; what it revises may be unfinished, and is then stepped on."""


class MutableProcess(Process[S], Mutable[S], Protocol[S]):
    """A process that can mutate; a child may be unfinished, and is then stepped on."""


@runtime_checkable
class Remembering(Protocol[S]):
    """Its states remember earlier attempts, which a revision is shown."""

    def remembering(self, state: S, attempts: int) -> S:
        """The state with its last so many attempts, its own counted; at least 1."""
        ...


@runtime_checkable
class Tempered(Protocol[S]):
    """Mutates gently or strongly."""

    def at_strength(self, strength: float) -> MutableProcess[S]:
        """The same process with this strength of mutation; the scale is its own."""
        ...


class Deliberate(Protocol[S, M]):
    """Acting has side effects: look before leaping."""

    async def propose(self, state: S, seed: Seed) -> M: ...
    async def commit(self, state: S, move: M) -> S: ...


class Scorer(Protocol[S_contra]):
    """Scores together, so that votes, tournaments and diversity are scorers too.

    Returns one `Score` or `Unscored` per state, in order; never raises for a single dead call.
    """

    async def __call__(
        self, task: Task, states: Sequence[S_contra]
    ) -> Sequence[Score | Unscored]: ...


@runtime_checkable
class Costly(Protocol):
    """A scorer that asks models, and says what that is likely to cost, so that it can be set aside."""

    def reserve(self, states: int) -> Budget | None:
        """What scoring so many states is likely to cost; `None` when nothing."""
        ...


@runtime_checkable
class CountsVotes(Protocol):
    """A scorer that may be asked again and again at no cost, to see whether its vote is decided.

    Where `counts_votes` holds, its scores have the features `class` and `votes`.
    """

    @property
    def counts_votes(self) -> bool: ...


@runtime_checkable
class Separable(Protocol):
    """A scorer that judges every state by itself, so that some may be asked about again later."""

    @property
    def separable(self) -> bool: ...


@runtime_checkable
class ReadsLogprobs(Protocol):
    """A scorer that reads the log-probabilities of generated tokens, which the process must ask for."""

    @property
    def logprobs(self) -> int:
        """As in `Generate`: -1 none, 0 of the chosen token, k > 0 of the k likeliest too."""
        ...


@runtime_checkable
class Rescores(Protocol):
    """A final scorer that goes on from the scores the search gave, so that these are not paid for twice."""

    async def rescored(
        self, task: Task, states: Sequence[Artifact], given: Sequence[Score | Unscored]
    ) -> Sequence[Score | Unscored]: ...


class Search(Protocol):
    """Finds good states; returns its best so far when the budget binds."""

    async def __call__(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]: ...


class SearchOn(Protocol[P_contra]):
    """A search for processes of this type; one that needs a capability is none for those without."""

    async def __call__(
        self, process: P_contra, scorer: Scorer[Any], task: Task, seed: Seed
    ) -> Ranking[Any]: ...


class Strategy(Protocol):
    """A complete way of answering; what recipes return, the runner runs and the gateway serves."""

    async def __call__(self, task: Task, seed: Seed) -> Ranking[Artifact]: ...


@dataclass(frozen=True)
class Limits:
    """What an engine bears."""

    concurrency: int = 16
    """Calls of `serve` in flight at once."""
    max_batch: int = 1
    """Requests in one call of `serve`; siblings first."""
    linger_s: float = 0.0
    """How long the driver waits for a batch to fill."""
    mixed: bool = False
    """Whether one batch may hold unrelated requests; otherwise only siblings (`Request.sibling_key`)."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


Emit = Callable[[int, str], None]
"""Called with the index in the batch and a piece of text as it arrives."""


def silent(index: int, text: str) -> None:
    """An `Emit` that nobody listens to."""


class Engine(Protocol):
    """Anything that serves requests."""

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """The kinds of request it answers."""
        ...

    @property
    def limits(self) -> Limits: ...

    @property
    def fingerprint(self) -> str:
        """What would change the answers: model file hash, chat template, server; never a key."""
        ...

    def ceiling(self, request: Request[Any]) -> Usage:
        """The most that serving this can cost, for reservation; unknown units are `None`."""
        ...

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> Sequence[Reply[Any] | Failed]:
        """Answer each request, in order. A need it cannot meet is `Failed(kind="unsupported")`.

        Cancelling the call stops the work and frees what it held.
        """
        ...

    async def close(self) -> None:
        """Free connections, threads and memory; may be called twice."""
        ...
