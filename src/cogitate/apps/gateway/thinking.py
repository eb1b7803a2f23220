"""A request that a strategy answers: its plan, its run on shared models, and what is heard of it meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogitate.core.candidates import Artifact
from cogitate.core.errors import CogitateError, Failed
from cogitate.core.events import Answered, Chunk, Event, Noted
from cogitate.core.usage import ZERO, Budget, Usage

from .bounds import check_parts_of
from .refusals import Refused, invalid, of_error, of_failure, too_late
from .replying import distinct, logprobs_of

if TYPE_CHECKING:
    from cogitate.assembly import Assembled, Configuration, Opened, Plan, Result
    from cogitate.assembly.keeping import Kept
    from cogitate.assembly.planning import Choice

    from .asking import Wanted

_MOST_KNOWN = 1024
_COMMENT_S = 0.25
HEARTBEAT_S = 10.0
"""After so long without a byte a stream says that it is alive."""


@dataclass(frozen=True)
class Context:
    """One request, once it is known who asks whom for what."""

    id: str
    key: str
    """Name of the key; never the key."""
    model: str
    """As it is opened."""
    name: str
    """As the client named it."""
    strategy: Assembled
    budget: Budget
    seed: int
    wanted: Wanted
    scorer: str | None = None


@dataclass
class Hearing:
    """What is heard of a run while it goes. Mutable: a listener."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    usage: Usage = ZERO
    """What the calls that were answered so far have cost."""
    failure: Failed | None = None
    """The last call that failed."""
    pieces: list[str] = field(default_factory=list[str])
    """Text that may be sent and was not yet."""
    settled: str = ""
    kinds: dict[str, int] = field(default_factory=dict[str, int])
    listeners: list[Callable[[Event], None]] = field(default_factory=list[Callable[[Event], None]])

    def __call__(self, event: Event) -> None:
        """Hear an event."""
        for listener in self.listeners:
            listener(event)
        if isinstance(event, Chunk):
            if event.final:
                self.pieces.append(event.text)
                self.wake.set()
        elif isinstance(event, Noted):
            self._noted(event)
        elif isinstance(event, Answered):
            if isinstance(event.outcome, Failed):
                self.failure = event.outcome
            usage: Usage | None = getattr(event.outcome, "usage", None)
            if usage is not None and usage != ZERO:
                self.usage += usage
            self.wake.set()

    def _noted(self, event: Noted) -> None:
        if event.kind == "settled":
            said = str(event.data.get("text", ""))
            if said.startswith(self.settled) and len(said) > len(self.settled):
                self.pieces.append(said[len(self.settled) :])
                self.settled = said
        else:
            self.kinds[event.kind] = self.kinds.get(event.kind, 0) + 1
        self.wake.set()

    def take(self) -> str:
        """The text that may be sent now."""
        text = "".join(self.pieces)
        self.pieces.clear()
        return text

    @property
    def said(self) -> str:
        """How far it is, for a comment."""
        steps = " ".join(f"{kind}={count}" for kind, count in sorted(self.kinds.items()))
        return f"cogitate calls={self.usage.calls} tokens={self.usage.tokens_out} {steps}".rstrip()


class Thinking:
    """Makes plans and carries them out."""

    def __init__(self, configuration: Configuration) -> None:
        """Read what is needed.

        Args:
            configuration: with its gateway settings.
        """
        self._configuration = configuration
        journals = configuration.gateway.journals
        self.journals = Path(journals).expanduser() if journals else None
        if self.journals is not None:
            self.journals.mkdir(parents=True, exist_ok=True)
        self._choices: dict[tuple[str, str, bool, bool], Choice] = {}
        self._readable: dict[str, Any] = {}
        self._kept: Kept | None = None
        self._stack = contextlib.ExitStack()

    def plan(
        self, context: Context, models: Opened, *, streamed: bool = False
    ) -> tuple[Plan, bool]:
        """What a run will do, and whether its answer can leave while it is written.

        Raises:
            Refused: for what cannot be done.
        """
        from cogitate.assembly import Asked, Plan

        task = context.wanted.task
        try:
            choice = self._choice(context, models)
            plan = Plan(
                Asked(task),
                choice,
                models.models,
                context.budget,
                context.seed,
                self._configuration,
            )
            made = self._streamed(choice.strategy) if streamed else None
            if made is not None:
                plan = replace(plan, choice=replace(choice, strategy=made))
            plan.check(models)
        except CogitateError as error:
            raise of_error(error) from None
        return plan, made is not None

    def _streamed(self, strategy: Any) -> Any:
        """Whether a strategy can be streamed is asked of it once."""
        key = str(strategy)
        if key not in self._readable:
            made = streamable(strategy)
            if len(self._readable) >= _MOST_KNOWN:
                return made
            self._readable[key] = made
        return self._readable[key]

    def _choice(self, context: Context, models: Opened) -> Choice:
        from cogitate.assembly.planning import Known, choose

        task, strategy = context.wanted.task, context.strategy
        manner = task.manner
        tools = manner is not None and bool(manner.tools) and manner.tool_choice != "none"
        key = (str(strategy), task.kind, tools, models.models.has_verifier)
        known = self._choices.get(key) if context.scorer is None else None
        if known is None:
            judged = context.scorer
            open_scorer = "scorer" in strategy.factory.parameters and (
                strategy.argument("scorer") is None
            )
            if judged is None and tools and open_scorer and strategy.name == "best_of":
                judged = "majority()"  # calls can be told equal, so that a vote means something
            known = choose(
                strategy,
                judged,
                task.kind,
                Known(self._configuration, verifier=models.models.has_verifier),
            )
            if context.scorer is not None:
                check_parts_of(
                    known.strategy, "cogitate.scorer", self._configuration.gateway.max_samples
                )
            elif len(self._choices) < _MOST_KNOWN:
                self._choices[key] = known
        return known

    async def run(self, plan: Plan, models: Opened, hearing: Hearing, id: str) -> Result:
        """Carry a plan out.

        Raises:
            Refused: where there is no answer, with why.
        """
        from cogitate.assembly.running import carry_out_on

        journal = None if self.journals is None else self.journals / f"{id}.jsonl"
        try:
            return await carry_out_on(plan, models, journal, listen=hearing, kept=self._replies())
        except CogitateError as error:
            raise of_error(error) from None

    def _replies(self) -> Kept | None:
        """The replies that all requests share, where they are kept."""
        if self._kept is None and self._configuration.gateway.cache:
            from cogitate.assembly.keeping import Kept
            from cogitate.drive import ReplyCache

            directory = self._configuration.cache_directory
            cache = ReplyCache(directory, max_bytes=self._configuration.cache_bytes)
            self._kept = Kept(self._stack.enter_context(cache), every=False)
        return self._kept

    def close(self) -> None:
        """Write what is kept."""
        self._kept = None
        self._stack.close()


def streamable(strategy: Any) -> Any:
    """The strategy as one whose answer may leave while it is written; `None` where it must be buffered."""
    from cogitate.assembly.streaming import streaming

    return streaming(strategy)


def answers_of(result: Result, wanted: Wanted, failure: Failed | None) -> list[Artifact]:
    """What is sent of a result: its best candidates that differ.

    Raises:
        Refused: where there are none.
    """
    found = distinct(result.ranking, wanted.candidates)
    if wanted.shows_logprobs and any(a.text and logprobs_of(a) is None for a in found):
        raise invalid(
            "logprobs were asked for, but the model does not say the text of each of its tokens; leave it out",
            "logprobs",
            "unsupported_parameter",
        )
    # Where the server cannot do what the strategy needs, a beginning is no answer.
    unfit = failure is not None and failure.kind == "unsupported" and not result.stopped
    if found and not (unfit and not any(a.complete for a in found)):
        return found
    match result.stopped:
        case "budget":
            return [Artifact("", complete=False)]
        case "deadline":
            raise too_late()
        case _ if failure is not None:
            raise of_failure(failure)
        case _:
            why = result.ranking.note or "nothing was found"
            raise Refused(502, f"there is no answer: {why}", code="no_answer")


def fresh_id(*, chat: bool) -> str:
    """A name for a request, which is also that of its journal."""
    return f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(12)}"


def fresh_seed() -> int:
    """A seed where the client named none: another answer each time, as clients expect."""
    return secrets.randbits(31)


@contextlib.asynccontextmanager
async def running(work: asyncio.Task[Result]) -> AsyncGenerator[None, None]:
    """Leaving cancels the work and waits until it let go of everything."""
    try:
        yield
    finally:
        if not work.done():
            work.cancel()
            await asyncio.wait([work])
        elif not work.cancelled():
            work.exception()  # it was told, or nobody waits for it


async def waited(hearing: Hearing, work: asyncio.Task[Result]) -> AsyncGenerator[str, None]:
    """What may be sent of a running answer as it comes; empty text now and then while there is nothing."""
    loop = asyncio.get_running_loop()
    work.add_done_callback(lambda _: hearing.wake.set())
    quiet = time.monotonic()
    while True:
        timer = loop.call_later(HEARTBEAT_S, hearing.wake.set)
        try:
            await hearing.wake.wait()
        finally:
            timer.cancel()
        hearing.wake.clear()
        now = time.monotonic()
        if text := hearing.take():
            quiet = now
            yield text
        elif work.done():
            return
        elif now - quiet >= _COMMENT_S:
            quiet = now
            yield ""
