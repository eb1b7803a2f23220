"""The machine: steps a tree of flows. It does no I/O, knows no clock, and is the ask/tell interface.

`pending` asks what is open, `take` claims one, `tell` answers it. Any driver can serve any flow:
one at a time, as batches, concurrently, or from a file.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar, cast

from ._streams import Streams
from ._tree import Node, discard, orphans
from .asking import Ask, Books, NoBooks
from .codec import encode
from .errors import Failed, InvalidInput, OutOfBudget, Stalled
from .events import Answered, Asked, Event, Finished, Noted
from .flow import Enter, Flow, Fork, Leave, Next, Publish, Release, SetAside, Spawn
from .journal import Journal, Record, outcome_of, tell_record, usage_of
from .requests import Reply, Request
from .usage import Budget

T = TypeVar("T")
Outcome = Reply[Any] | OutOfBudget | Failed


class Machine(Generic[T]):
    """Steps one tree of flows.

    Args:
        flow: the root coroutine.
        journal: what an earlier run was told is replayed from it; what is told now is written to it.
        books: hears of accounts, and of what a replay had paid.
        listen: hears of every event.
        keep_refusals: replay recorded refusals and remainders; false under another grant, where the
            replay of a stream stops at the first of them.
        keep_failures: replay recorded failures; false to ask again what failed, and all that followed
            from it.
        from_mismatch: where the code asks something else than was recorded, keep what matches and go on
            instead of raising.

    Raises:
        ReplayMismatch: when the code asks something else than the journal recorded.
    """

    def __init__(
        self,
        flow: Flow[T],
        journal: Journal | None = None,
        *,
        books: Books | None = None,
        listen: Callable[[Event], None] | None = None,
        keep_refusals: bool = True,
        keep_failures: bool = True,
        from_mismatch: bool = False,
    ) -> None:
        self._books: Books = books or NoBooks()
        self._listen = listen
        self._streams = Streams(journal, keep_refusals, from_mismatch, keep_failures)
        self._open: dict[str, tuple[Node, Ask]] = {}
        self._unclaimed: dict[str, Ask] = {}
        self._todo: deque[tuple[Node, Any, BaseException | None]] = deque()
        self._value: Any = None
        self._error: BaseException | None = None
        self.done = False
        self.cancelled: list[str] = []
        """Claimed addresses whose flows were cancelled while they asked; a driver drains it."""
        self.silent = False
        """Set when a person interrupts: what is told from then on is not the world's decision and is
        not journaled, so that the journal resumes."""
        try:
            stream = self._streams.open("", None)
        except BaseException:
            discard(flow)
            raise
        root = Node("", (), flow, None, "", stream)
        root.deliver = self._finish
        self._root = root
        self._push(root)
        try:
            self._run()
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------------------ ask and tell

    def pending(self) -> list[Ask]:
        """What is open and not claimed, in address order; asking again gives the same.

        Raises:
            Stalled: when nothing is open and the flow has not ended.
        """
        if not self.done and not self._open:
            raise Stalled(
                "the flow waits, but nothing is asked; it awaits something that cannot arrive"
            )
        return sorted(self._unclaimed.values(), key=lambda ask: ask.order)

    @property
    def has_pending(self) -> bool:
        """Whether `pending` would give anything."""
        return bool(self._unclaimed)

    def take(self, at: str) -> Ask:
        """Claim an open request; it is no longer pending.

        Raises:
            KeyError: when it is not pending.
        """
        return self._unclaimed.pop(at)

    def offer(self, at: str) -> None:
        """Give back a claim that was lost; the request is pending again."""
        if at in self._open:
            self._unclaimed[at] = self._open[at][1]

    def wants(self, at: str) -> bool:
        """Whether a flow still waits for this answer."""
        return at in self._open

    def tell(self, at: str, outcome: Outcome) -> None:
        """Answer an open request and step every flow that can go on.

        Raises:
            KeyError: when nobody waits at that address: told before, or cancelled; see `late`.
        """
        node, ask = self._open.pop(at)
        self._unclaimed.pop(at, None)
        if not self.silent:
            self._write(node.stream, lambda: tell_record(ask.request, at, outcome), ask.request)
        self._settle(node, ask, outcome, replayed=False)
        self._run()

    def late(self, ask: Ask, outcome: Outcome) -> None:
        """Journal the cost of an answer that came after its flow was cancelled."""
        if isinstance(outcome, OutOfBudget) or outcome.usage is None:
            return
        record = tell_record(ask.request, ask.at, outcome) | {"kind": "late"}
        record.pop("value", None)
        self._streams.append(ask.stream, record, None)
        if self._listen:
            self._listen(Answered(ask.stream, ask.at, ask.request, outcome, ask.account, late=True))

    @property
    def result(self) -> T:
        """What the root flow returned.

        Raises:
            BaseException: what the root flow raised.
        """
        if self._error is not None:
            raise self._error
        return cast(T, self._value)

    def leftovers(self) -> list[Record]:
        """Recorded replies that will not be replayed, each given once; use them as a cache.

        Streams are read when their flows begin, so look again whenever the machine was stepped.
        """
        found, self._streams.leftovers = self._streams.leftovers, []
        return found

    def close(self) -> None:
        """End every flow; leaves no open coroutine, no claim and no account."""
        if not self.done:
            self.done = True
            self._error = Stalled("the machine was closed before its flow ended")
            self._cancel(self._root)
        self._todo.clear()

    # --------------------------------------------------------------------------------- stepping

    def _push(self, node: Node, value: Any = None, error: BaseException | None = None) -> None:
        self._todo.append((node, value, error))

    def _run(self) -> None:
        """Step what can be stepped, and answer from the journal what it answers."""
        while True:
            while self._todo:
                node, value, error = self._todo.popleft()
                if node.alive:
                    self._step(node, value, error)
            if self.done or not self._replay():
                return

    def _step(self, node: Node, value: Any, error: BaseException | None) -> None:
        try:
            effect = node.flow.throw(error) if error is not None else node.flow.send(value)
        except StopIteration as stop:
            self._end(node, stop.value, None)
        except Exception as raised:
            self._end(node, None, raised)
        else:
            self._do(node, effect)

    def _do(self, node: Node, effect: Any) -> None:
        if isinstance(effect, Request):
            self._ask(node, cast(Request[Any], effect))
            return
        kind = cast("type[Any]", type(effect))
        act = self._ACTS.get(kind)
        if act is None:
            error = TypeError(
                f"a flow awaited a {kind.__name__}; flows may only await requests and the words "
                "of cogitate.core.flow, never an event loop's futures"
            )
            self._push(node, error=error)
            return
        act(self, node, effect)

    def _ask(self, node: Node, request: Request[Any]) -> None:
        count = node.tick()
        at = f"{node.path}#{count}"
        ask = Ask(at, request, node.account, node.stream.name, (*node.order, count))
        self._open[at] = (node, ask)
        self._unclaimed[at] = ask
        node.asking = at
        if self._listen:
            self._listen(Asked(ask.stream, at, request, node.account))

    def _settle(self, node: Node, ask: Ask, outcome: Outcome, replayed: bool) -> None:
        node.asking = None
        if self._listen:
            self._listen(
                Answered(ask.stream, ask.at, ask.request, outcome, ask.account, replayed=replayed)
            )
        if isinstance(outcome, Reply):
            if isinstance(ask.request, SetAside):
                self._books.opened(outcome.value, ask.account, ask.request.grant, reserved=True)
                node.holds[outcome.value] = None
            self._push(node, outcome.value)
        else:
            self._push(node, error=outcome)

    def _end(self, node: Node, value: Any, error: BaseException | None) -> None:
        self._cancel_children(node)
        self._retire(node)
        if node.owns_stream and error is None and not self.silent:
            self._streams.finish(node.stream, value, node.codec)
        if node.owns_stream:
            for record in self._streams.close(node.stream):
                self._charge(node.account, record)
            if self._listen:
                self._listen(Finished(node.stream.name, "" if error is None else str(error)))
        node.deliver(node, value, error)

    def _finish(self, node: Node, value: Any, error: BaseException | None) -> None:
        self.done, self._value, self._error = True, value, error
        for record in self._streams.close(node.stream):
            self._charge("", record)
        if self._listen:
            self._listen(Finished("", "" if error is None else str(error)))

    def _retire(self, node: Node) -> None:
        node.alive = False
        if node.parent is not None:
            node.parent.children.pop(node, None)
        for account in reversed(node.holds):
            self._books.closed(account)
        if node.owns_account:
            self._books.closed(node.account)

    def _cancel_children(self, node: Node) -> None:
        for child in list(node.children):
            self._cancel(child)

    def _cancel(self, root: Node) -> None:
        """End a subtree, children first; linear in what is cancelled."""
        failure: Exception | None = None
        for node in orphans(root):
            if node.asking is not None:
                self._open.pop(node.asking, None)
                if self._unclaimed.pop(node.asking, None) is None:
                    self.cancelled.append(node.asking)
            if node.owns_stream:
                for record in self._streams.drop(node.stream):
                    self._charge(node.account, record)
            self._retire(node)
            try:
                discard(node.flow)
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure

    # ------------------------------------------------------------------------------- the words

    def _fork(self, node: Node, effect: Fork) -> None:
        if not effect.flows:
            self._push(node, [])
            return
        number = node.tick()
        results: list[Any] = [None] * len(effect.flows)
        kept = [True] * len(effect.flows)
        left = len(effect.flows)
        children: list[Node] = []

        def joined(child: Node, value: Any, error: BaseException | None) -> None:
            nonlocal left
            index = child.order[-1]
            if error is not None and not isinstance(error, effect.drop):
                for sibling in children:
                    if sibling.alive:
                        self._cancel(sibling)
                self._push(node, error=error)
                return
            results[index], kept[index] = value, error is None
            left -= 1
            if not left:
                self._push(node, [r for r, keep in zip(results, kept, strict=True) if keep])

        for index, flow in enumerate(effect.flows):
            child = node.child(number, index, flow)
            child.deliver = joined
            children.append(child)
            self._push(child)

    def _spawn(self, node: Node, effect: Spawn) -> None:
        pool = effect.pool
        if not self._owns(node, pool):
            if inspect.iscoroutine(effect.flow):
                discard(effect.flow)
            return
        count = node.tick()
        stream = effect.stream
        if stream is not None:
            stream = stream or f"{node.path}#{count}"
            if not self._streams.claim(stream):
                self._push(
                    node,
                    error=InvalidInput(
                        f"two children of `each` have the stream {stream!r}; each needs a name of its own"
                    ),
                )
                return
        number, pool.added = pool.added, pool.added + 1
        pool.live += 1

        def arrived(child: Node | None, value: Any, error: BaseException | None) -> None:
            pool.live -= 1
            pool.children.pop(number, None)
            pool.outcomes[number] = (value, error)
            pool.ready.append(number)
            self._hand_over(pool)

        if stream is not None and effect.codec is not None:
            sealed = self._streams.sealed(stream)
            if sealed is not None:
                for role, usage in sealed["roles"].items():
                    self._books.charged(node.account, role, usage_of({"usage": usage}))
                self._push(node, number)
                arrived(None, effect.codec.decode(sealed["value"]), None)
                return
        flow = effect.flow() if callable(effect.flow) else effect.flow
        child = node.child(count, number, flow)
        child.deliver = arrived
        if stream is not None:
            child.stream = self._streams.open(stream, node.stream)
            child.owns_stream, child.codec = True, effect.codec
        pool.children[number] = child
        self._push(child)
        self._push(node, number)

    def _owns(self, node: Node, pool: Any) -> bool:
        """A pool has one owner: two flows that take from one pool would depend on timing."""
        if pool.owner is None:
            pool.owner = node
        if pool.owner is node:
            return True
        error = RuntimeError("a pool is used by two flows; each flow needs a pool of its own")
        self._push(node, error=error)
        return False

    def _next(self, node: Node, effect: Next) -> None:
        pool = effect.pool
        if not self._owns(node, pool):
            return
        if not pool.live and not pool.ready:
            self._push(node, error=Stalled("next() was awaited on a pool in which nothing runs"))
            return
        pool.waiting = node
        self._hand_over(pool)

    def _hand_over(self, pool: Any) -> None:
        node = pool.waiting
        if node is None or not pool.ready:
            return
        pool.waiting = None
        number = pool.ready.popleft()
        value, error = pool.outcomes.pop(number)
        if error is not None:
            error._pool_number = number
            self._push(node, error=error)
        else:
            self._push(node, (number, value))

    def _leave(self, node: Node, effect: Leave) -> None:
        pool = effect.pool
        for child in list(pool.children.values()):
            self._cancel(child)
        pool.children.clear()
        pool.live = 0
        uncollected = [pool.outcomes.pop(number)[1] for number in pool.ready]
        pool.ready.clear()
        # A refusal or a failed call that nobody took is ordinary; a bug is not.
        serious = [e for e in uncollected if e and not isinstance(e, OutOfBudget | Failed)]
        if serious and not effect.failed:
            self._push(node, error=serious[0])
        else:
            self._push(node)

    def _enter(self, node: Node, effect: Enter) -> None:
        number = node.tick()
        child = node.child(number, 0, effect.flow)
        if effect.account is not None:
            child.account = effect.account
        else:
            child.account = f"{node.account}/{effect.name}@{node.path}#{number}"
            child.owns_account = True
            self._books.opened(
                child.account, node.account, effect.grant or Budget(), reserved=False
            )

        def back(_: Node, value: Any, error: BaseException | None) -> None:
            self._push(node, value, error)

        child.deliver = back
        self._push(child)

    def _release(self, node: Node, effect: Release) -> None:
        if effect.account in node.holds:
            del node.holds[effect.account]
            self._books.closed(effect.account)
        self._push(node)

    def _publish(self, node: Node, effect: Publish) -> None:
        at = f"{node.path}#{node.tick()}"
        stream = node.stream
        data = effect.data
        if stream.note() and not self.silent:
            self._write(
                stream,
                lambda: {"kind": "note", "at": at, "ask": effect.kind, "value": encode(data)},
            )
        if self._listen:
            self._listen(Noted(stream.name, at, effect.kind, data))
        self._push(node)

    _ACTS: ClassVar[dict[type, Any]] = {
        Fork: _fork,
        Spawn: _spawn,
        Next: _next,
        Leave: _leave,
        Enter: _enter,
        Release: _release,
        Publish: _publish,
    }

    # ------------------------------------------------------------------------------ the journal

    def _write(
        self, stream: Any, make: Callable[[], Record], request: Request[Any] | None = None
    ) -> None:
        if self._streams.journal is not None:
            self._streams.append(stream.name, make(), request)

    def _replay(self) -> bool:
        """Answer from the journal; true if some flow can go on."""
        for stream in self._streams.unread():
            for record in stream.asides():
                self._charge("", record)
            found = self._streams.match(stream, self._open)
            if found is not None:
                record, node, ask = found
                del self._open[ask.at]
                self._unclaimed.pop(ask.at, None)
                outcome = outcome_of(record, ask.request)
                self._charge(ask.account, record)
                self._settle(node, ask, outcome, replayed=True)
                return True
        return False

    def _charge(self, account: str, record: Record) -> None:
        if "usage" in record:
            cached = bool(record.get("cached"))
            self._books.charged(account, record.get("role", ""), usage_of(record), cached=cached)
