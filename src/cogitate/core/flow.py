"""The flow language: nine words with which searches, processes and scorers are written.

A flow is an `async def` function that awaits requests and these words, and nothing else: no I/O, no
clock, no threads, no global randomness. It needs no event loop; a `Machine` steps it.

| word | meaning |
| --- | --- |
| `await SomeRequest(...)` | ask the world one thing |
| `await gather(*flows, drop=())` | run children concurrently, results in order |
| `each(source, make_flow, at_most=k)` | the lazy `gather`, with back-pressure |
| `async with Pool() as pool` | unordered concurrency |
| `await within(name, grant, flow)` | run a child on its own account: a cap |
| `async with set_aside(name, grant) as account` | hold money from now on: a reservation |
| `await remaining()` | how much of the grant is left |
| `await note(kind, **data)` | publish an event |
| `await settled(text)` | publish the part of the answer that can no longer change |
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, cast

from .requests import Request
from .usage import Budget

T = TypeVar("T")
U = TypeVar("U")
Flow = Coroutine[Any, Any, T]


# --------------------------------------------------------- what the machine understands


@dataclass(frozen=True, eq=False)
class Effect(Generic[T]):
    """Something the machine itself does, without asking the world."""

    def __await__(self) -> Generator[Any, Any, T]:
        return cast(T, (yield self))


@dataclass(frozen=True, eq=False)
class Fork(Effect[list[Any]]):
    """Run children; `drop` names the errors that leave a child out."""

    flows: tuple[Flow[Any], ...]
    drop: tuple[type[Exception], ...]


@dataclass(frozen=True, eq=False)
class Spawn(Effect[int]):
    """Add a child to a pool; `stream` gives it a journal stream of its own, named by its address if empty."""

    pool: Pool[Any]
    flow: Flow[Any] | Callable[[], Flow[Any]]
    stream: str | None = None
    codec: Codec[Any] | None = None


@dataclass(frozen=True, eq=False)
class Next(Effect[tuple[int, Any]]):
    """Wait for the next arrival of a pool."""

    pool: Pool[Any]


@dataclass(frozen=True, eq=False)
class Leave(Effect[None]):
    """Cancel what a pool still runs; the machine re-raises an error nobody collected."""

    pool: Pool[Any]
    failed: bool


@dataclass(frozen=True, eq=False)
class Enter(Effect[Any]):
    """Run a child flow on another account."""

    flow: Flow[Any]
    name: str
    grant: Budget | None
    account: str | None = None


@dataclass(frozen=True, eq=False)
class Release(Effect[None]):
    """Give back what a reservation still holds."""

    account: str


@dataclass(frozen=True, eq=False)
class Publish(Effect[None]):
    """Publish an event; `kind` is `settled` for settled text."""

    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Remaining(Request[Budget]):
    """How much of the grant is left; answered by the driver's ledger and journaled."""

    reply_type: ClassVar[Any] = Budget


@dataclass(frozen=True)
class SetAside(Request[str]):
    """Reserve a grant; the reply is the name of the new account."""

    reply_type: ClassVar[Any] = str
    name: str
    grant: Budget


class Codec(Protocol[T]):
    """How a finished problem's result is sealed in a journal."""

    def encode(self, value: T) -> Any: ...
    def decode(self, raw: Any) -> T: ...


# --------------------------------------------------------------------------- the words


async def gather(
    *flows: Flow[T], drop: type[Exception] | tuple[type[Exception], ...] = ()
) -> list[T]:
    """Run children concurrently; results in order.

    Children failing with a type in `drop` are left out. The first other error cancels the siblings
    and is raised.
    """
    kinds = drop if isinstance(drop, tuple) else (drop,)
    return cast(list[T], await Fork(flows, kinds))


@dataclass(eq=False)
class Pool(Generic[T]):
    """Unordered concurrency with one owner: add flows, take results as they arrive.

    Leaving the block cancels what still runs and re-raises an error that nobody collected.
    """

    # Mutable on purpose: it is the machine's handle on a set of running children.
    ready: deque[int] = field(default_factory=deque[int])
    outcomes: dict[int, Any] = field(default_factory=dict[int, Any])
    live: int = 0
    added: int = 0
    owner: Any = None
    children: dict[int, Any] = field(default_factory=dict[int, Any])
    waiting: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and issubclass(kind, GeneratorExit):
            return  # the flow is being closed: the machine cancels the children, and cleanup may not await
        await Leave(self, failed=error is not None)

    async def add(self, flow: Flow[T]) -> int:
        """Start a child; returns its number, counted from 0."""
        return await Spawn(self, flow)

    async def next(self) -> tuple[int, T]:
        """The number and result of the next child to finish; raises that child's error.

        Raises:
            Stalled: when no child runs and none is waiting to be taken.
        """
        return cast(tuple[int, T], await Next(self))


def each(
    source: Iterable[U],
    make_flow: Callable[[U], Flow[T]],
    *,
    at_most: int = 8,
    stream: Callable[[U], str] | None = None,
    codec: Codec[T] | None = None,
) -> Each[U, T]:
    """The lazy `gather`: an asynchronous iterator of results in the order of the source.

    At most `at_most` children run or wait to be taken, so that a hundred thousand problems need the
    memory of a few. A child's error is raised at its turn; leaving the loop early leaves the rest to
    be cancelled when the flow that iterates ends.

    Args:
        source: the things to work on; read only as far as needed.
        make_flow: turns one of them into a flow.
        at_most: bound on children in flight.
        stream: names the journal stream of each child; by default its address.
        codec: seals finished children in the journal, so that a resumed run does not replay them.
    """
    return Each(iter(source), make_flow, at_most, stream, codec)


@dataclass(eq=False)
class Each(Generic[U, T]):
    """What `each` returns: iterate over it."""

    # Mutable on purpose: an iterator. A class and not an async generator, because an event loop that
    # drives the machine would adopt a generator and close it behind the machine's back.
    source: Iterator[U]
    make_flow: Callable[[U], Flow[T]]
    at_most: int
    stream: Callable[[U], str] | None
    codec: Codec[T] | None
    pool: Pool[T] = field(default_factory=Pool)
    turn: int = 0
    arrived: dict[int, Any] = field(default_factory=dict[int, Any])
    exhausted: bool = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self.exhausted and self.pool.added - self.turn < self.at_most:
            try:
                item = next(self.source)
            except StopIteration:
                self.exhausted = True
                break
            name = self.stream(item) if self.stream else ""
            await Spawn(self.pool, lambda item=item: self.make_flow(item), name, self.codec)
        if self.turn == self.pool.added:
            raise StopAsyncIteration
        while self.turn not in self.arrived:
            try:
                number, value = await self.pool.next()
            except Exception as error:
                number = getattr(error, "_pool_number", -1)
                if number < 0:
                    raise
                self.arrived[number] = (None, error)
            else:
                self.arrived[number] = (value, None)
        value, error = self.arrived.pop(self.turn)
        self.turn += 1
        if error is not None:
            raise error
        return cast(T, value)


async def within(name: str, grant: Budget, flow: Flow[T]) -> T:
    """Run a child on its own account: at most `grant`, and never more than what is left here.

    A cap sets nothing aside; see `set_aside`.
    """
    return cast(T, await Enter(flow, name, grant))


@dataclass(eq=False)
class set_aside:  # noqa: N801  (reads as a word of the flow language)
    """Hold money from now on: `async with set_aside("verify", grant) as account`.

    Entering raises `OutOfBudget` where the grant does not fit. What is left flows back on leaving.
    """

    name: str
    grant: Budget
    account: str = ""

    async def __aenter__(self) -> Self:
        self.account = await SetAside(self.name, self.grant)
        return self

    async def run(self, flow: Flow[T]) -> T:
        """Run a child on the money held."""
        return cast(T, await Enter(flow, self.name, None, self.account))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and issubclass(kind, GeneratorExit):
            return  # the machine gives back what a cancelled flow holds
        await Release(self.account)


async def remaining() -> Budget:
    """What is left of every bounded unit of the account this flow runs on."""
    return await Remaining()


async def note(kind: str, **data: Any) -> None:
    """Publish an event: `expanded`, `kept`, `pruned`, `backed_up`…; journaled, read by viewers.

    Values must be JSON values. Nobody reads another flow's locals; this is how a tree is seen.
    """
    await Publish(kind, data)


async def settled(text: str) -> None:
    """Publish the part of the answer that can no longer change; only this may be streamed to a user."""
    await Publish("settled", {"text": text})
