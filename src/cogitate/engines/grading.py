"""The engine that partitions answers: exact canonical forms, symbolic ones from Math-Verify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.protocols import Emit, Limits, silent
from cogitate.core.requests import Grade, Grades, Reply, Request
from cogitate.core.usage import ZERO, Usage
from cogitate.rules.canonical import canonical, classes, matches, undecided

if TYPE_CHECKING:
    from .grading_pool import WorkerPool

VERSION = 1
"""Raised when a canonical form changes; part of the fingerprint."""
_PACKAGES = ("math-verify", "latex2sympy2_extended", "sympy")


@dataclass(eq=False)
class Grader:
    """Serves `Grade`: answers are equal where their canonical forms are.

    Numbers, tuples, sets, intervals, quantities, dates and words are decided here. Other expressions of
    kind `math` are read by Math-Verify (extra `math`) in processes that are killed after `timeout_s`;
    without the extra, or where an expression is too slow, it equals only its own text. An answer that
    cannot be read abstains.

    >>> from cogitate.drive import run
    >>> async def vote():
    ...     return await Grade(("0.5", "1/2", "(3,4)", "34", "?"), "math", "50%")
    >>> run(vote(), Grader(symbolic=False)).value.classes
    (0, 0, 2, 3, None)
    """

    # Mutable on purpose: it holds processes.
    timeout_s: float = 3.0
    """The longest one expression may keep a worker."""
    workers: int = 2
    """Processes at most."""
    symbolic: bool | None = None
    """Whether Math-Verify is used; `None`: where it is installed."""

    def __post_init__(self) -> None:
        if self.timeout_s <= 0 or self.workers < 1:
            raise InvalidInput(
                f"a grader with {self.workers} workers and {self.timeout_s:g} s was asked for; "
                "give it at least one worker and a positive time"
            )
        self._symbolic = installed() if self.symbolic is None else self.symbolic
        if self._symbolic and not installed():
            raise InvalidInput("symbolic grading was asked for; install cogitate[math] for it")
        self._pool: WorkerPool | None = None
        self._threads: Any = None
        self._closed = False
        self._fingerprint = ""

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """`Grade` alone."""
        return frozenset({Grade})

    @property
    def limits(self) -> Limits:
        """Unrelated requests may share a batch."""
        return Limits(concurrency=64, max_batch=256, mixed=True)

    @property
    def fingerprint(self) -> str:
        """The rules' version, and those of Math-Verify and its parts where it is used."""
        if not self._fingerprint:
            self._fingerprint = _fingerprint(symbolic=self._symbolic)
        return self._fingerprint

    def ceiling(self, request: Request[Any]) -> Usage:
        """Nothing: no model is asked. What is free is admitted when a budget or a deadline has ended."""
        return ZERO

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> Sequence[Reply[Any] | Failed]:
        """Partition the answers of each request; cancelling kills the workers it keeps busy."""
        if self._closed:
            return [Failed("the grader is closed; make another one", "unserved") for _ in batch]
        known = [request for request in batch if isinstance(request, Grade)]
        resolved = await self._resolve(known)
        return [self._reply(request, resolved) for request in batch]

    async def close(self) -> None:
        """End the workers; may be called twice."""
        self._closed = True
        pool, self._pool = self._pool, None
        threads, self._threads = self._threads, None
        if pool is not None:
            from asyncio import to_thread

            await to_thread(pool.close)
        if threads is not None:
            threads.close()

    def _reply(
        self, request: Request[Any], resolved: Mapping[str, str | None]
    ) -> Reply[Any] | Failed:
        if not isinstance(request, Grade):
            return Failed(f"the grader cannot serve {type(request).__name__}", "unsupported")
        return Reply(grades(request, resolved), ZERO, engine=self.fingerprint)

    async def _resolve(self, requests: Sequence[Grade]) -> dict[str, str | None]:
        """The forms of the expressions that the rules leave open, each asked for once."""
        import asyncio

        pending: dict[str, None] = {}
        if not self._symbolic:
            return {}
        for request in requests:
            for answer in (*request.answers, request.reference):
                pending.update(dict.fromkeys(undecided(answer, request.kind)))
            await asyncio.sleep(0)
        if not pending:
            return {}
        pool = self._workers()
        found: dict[str, str | None] = {}
        for tex in pending:
            seen, form = pool.known(tex)
            if seen:
                found[tex] = form
        asked = [tex for tex in pending if tex not in found]
        async with asyncio.TaskGroup() as group:
            tasks = {tex: group.create_task(self._form(pool, tex)) for tex in asked}
        return found | {tex: task.result() for tex, task in tasks.items()}

    async def _form(self, pool: WorkerPool, tex: str) -> str | None:
        from .grading_pool import Ticket

        ticket = Ticket()
        try:
            form, error = await self._threads.run(lambda: pool.form(tex, ticket), _FOREVER_S)
        except RuntimeError:
            return None
        finally:
            ticket.give_up()
        if error is not None:
            raise error
        return form

    def _workers(self) -> WorkerPool:
        if self._pool is None:
            from ._threads import Threads
            from .grading_pool import WorkerPool

            self._pool = WorkerPool(self.workers, self.timeout_s)
            self._threads = Threads(self.workers)
        return self._pool


_FOREVER_S = 86_400.0
"""The pool bounds each expression itself; waiting for a place may take as long as the queue is."""


def _fingerprint(*, symbolic: bool) -> str:
    if not symbolic:
        return f"grader:{VERSION}:exact"
    from importlib.metadata import version

    return f"grader:{VERSION}:" + ",".join(f"{name}-{version(name)}" for name in _PACKAGES)


def installed() -> bool:
    """Whether the extra `math` is there."""
    from importlib.util import find_spec

    return find_spec("math_verify") is not None


def grades(request: Grade, resolved: Mapping[str, str | None]) -> Grades:
    r"""The partition of a request's answers, given the forms that a symbolic engine found.

    >>> grades(Grade(("2, 1", r"\{1, 2\}", "(1, 2)"), "math"), {}).canonical
    ('{1,2}', '{1,2}', '(1,2)')
    """
    kind = request.kind
    forms = tuple(canonical(answer, kind, resolved) for answer in request.answers)
    correct: tuple[bool | None, ...] = ()
    if request.reference is not None:
        reference = request.reference
        correct = tuple(matches(answer, reference, kind, resolved) for answer in request.answers)
    return Grades(classes(request.answers, forms), forms, correct)
