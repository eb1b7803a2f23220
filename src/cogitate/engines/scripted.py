"""An engine that says what it is told and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from cogitate.core.errors import Failed
from cogitate.core.needs import EVERYTHING
from cogitate.core.protocols import Emit, Engine, Limits, silent
from cogitate.core.requests import Completion, Generate, Reply, Request
from cogitate.core.usage import Usage

from .fake import FakeEngine
from .writing import cut

Line = Any
"""A text, a `Completion`, any other reply value, a whole `Reply`, or an exception."""
Script = str | Sequence[Line] | Callable[[Any], Line]
"""One line for every request, lines in the order of requests, or a function of the request."""


class Scripted:
    """Replies as scripted, by kind or role; what is not scripted is answered by a `FakeEngine`.

    Whatever a request needs, it gets what the script says: a text even where there are tools to call.

    A script alone is for `Generate`; a mapping names kinds (`"ScoreSteps"`) or roles (`"judge"`; a role
    goes before a kind). A text is cut at stop strings and the cap as a model's would be; a `Completion`
    goes out as it is. A `Failed` is the reply to its request; any other exception crashes `serve`.

    >>> from cogitate.core.prompt import Prompt
    >>> engine = Scripted(["one", "two"])
    >>> [engine.reply(Generate(Prompt.raw("?"), seed=k)).value.text for k in range(2)]
    ['one', 'two']
    >>> engine.reply(Generate(Prompt.raw("?"), seed=2))
    Failed('the script has no line left for this Generate; it had 2', 'missing')
    """

    # Mutable on purpose: it turns the pages of its script.

    requests: list[Request[Any]]
    """Every request it saw, in order."""

    def __init__(
        self,
        replies: Script | Mapping[str, Script],
        *,
        otherwise: Engine | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._scripts: dict[str, Script] = (
            dict(cast(Mapping[str, Script], replies))
            if isinstance(replies, Mapping)
            else {"Generate": replies}
        )
        self._page: dict[str, int] = {}
        self._otherwise = otherwise or FakeEngine()
        self._limits = limits or Limits(concurrency=256, max_batch=256, mixed=True)
        self.requests = []

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """What the engine behind it serves."""
        return self._otherwise.serves

    @property
    def limits(self) -> Limits:
        """The limits it was made with."""
        return self._limits

    @property
    def fingerprint(self) -> str:
        """Scripts have no identity; do not share a cache between two."""
        return "scripted"

    def ceiling(self, request: Request[Any]) -> Usage:
        """The most that serving this can cost."""
        return self._otherwise.ceiling(request)

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> list[Reply[Any] | Failed]:
        """Answer each request, in order."""
        found: list[Reply[Any] | Failed] = []
        for index, request in enumerate(batch):
            if self._script(request) is None:
                self.requests.append(request)
                found.extend(
                    await self._otherwise.serve([request], lambda _, text, at=index: emit(at, text))
                )
                continue
            reply = self.reply(request)
            if isinstance(reply, Reply) and isinstance(reply.value, Completion):
                emit(index, reply.value.text)
            found.append(reply)
        return found

    async def close(self) -> None:
        """Close the engine behind it."""
        await self._otherwise.close()

    def reply(self, request: Request[Any]) -> Reply[Any] | Failed:
        """The scripted reply to this request; turns the page."""
        self.requests.append(request)
        name = self._script(request)
        if name is None:
            return Failed(f"no script names {type(request).__name__} or {request.role}", "unserved")
        line = self._line(name, request)
        if isinstance(line, Failed | Reply):
            return cast(Failed | Reply[Any], line)
        if isinstance(line, BaseException):
            raise line
        if isinstance(request, Generate) and isinstance(line, str):
            try:
                line = cut(request, line, served=EVERYTHING)
            except Failed as refusal:
                return refusal
        tokens_out = line.tokens if isinstance(line, Completion) else 0
        most = self._otherwise.ceiling(request)
        usage = Usage(tokens_in=most.tokens_in, tokens_out=tokens_out, calls=most.calls)
        return Reply(line, usage, engine=self.fingerprint)

    def _script(self, request: Request[Any]) -> str | None:
        names = (request.role, type(request).__name__)
        return next((name for name in names if name in self._scripts), None)

    def _line(self, name: str, request: Request[Any]) -> Line:
        script = self._scripts[name]
        if isinstance(script, str):
            return script
        if callable(script):
            return script(request)
        page = self._page.get(name, 0)
        if page >= len(script):
            kind = type(request).__name__
            return Failed(
                f"the script has no line left for this {kind}; it had {len(script)}", "missing"
            )
        self._page[name] = page + 1
        return script[page]
