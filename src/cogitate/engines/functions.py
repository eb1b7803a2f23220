"""The user's own functions as engines: they may block, be late, raise, or return nonsense."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar, cast

from cogitate.core.codec import freeze
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.needs import lacking
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Emit, Limits, silent
from cogitate.core.requests import Call, Generate, Json, Reply, Request
from cogitate.core.until import tokens_read
from cogitate.core.usage import Usage

from ._threads import Threads
from .writing import PromptSizes, cut

R = TypeVar("R", bound=Request[Any])
Function = Callable[..., Any]

_SAID = 300
_OPTIONAL = ("seed", "temperature", "max_tokens", "stop")


class Functions:
    """Serves `Call(name, args)` by functions of the user's, plain or `async`.

    Plain functions run in threads and may block; `async` ones run in the event loop and may not. A
    function that is late is left behind with its thread. Results must be JSON values.

    >>> import asyncio
    >>> engine = Functions({"length": len})
    >>> asyncio.run(engine.serve([Call("length", ("four",))]))[0].value
    4
    """

    # Mutable on purpose: it holds threads.

    def __init__(
        self,
        functions: Mapping[str, Function],
        *,
        timeout_s: float = 60.0,
        threads: int = 8,
        usd_per_call: float | None = 0.0,
    ) -> None:
        """Name the functions.

        Args:
            functions: what `Call.name` may be.
            timeout_s: how long one call may take, waiting for a thread included.
            threads: calls at once.
            usd_per_call: what a call costs; `None` where that is unknown.
        """
        self._functions = dict(functions)
        self._runner = _Runner(timeout_s, threads)
        self._usage = Usage(calls=1, flops=None, bytes_moved=None, usd=usd_per_call)

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """Calls alone."""
        return frozenset((Call,))

    @property
    def limits(self) -> Limits:
        """One call to a thread."""
        return Limits(concurrency=self._runner.threads.at_most)

    @property
    def fingerprint(self) -> str:
        """The names; the code behind them is the user's to keep stable."""
        return f"functions:{','.join(sorted(self._functions))}"

    def ceiling(self, request: Request[Any]) -> Usage:
        """One call; what a function computes inside is unknown."""
        return self._usage

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> list[Reply[Any] | Failed]:
        """Answer each call, in order."""
        return await _all(batch, self._one)

    async def close(self) -> None:
        """Let the threads go; a function that never returns is not waited for."""
        self._runner.threads.close()

    async def _one(self, _: int, request: Request[Any]) -> Reply[Any] | Failed:
        if not isinstance(request, Call):
            return Failed(f"functions serve Call, not {type(request).__name__}", "unserved")
        function = self._functions.get(request.name)
        if function is None:
            known = ", ".join(sorted(self._functions)) or "none"
            return Failed(f"no function is named {request.name!r}; known are: {known}", "missing")
        try:
            found = await self._runner(request.name, function, [_own(a) for a in request.args], {})
            return Reply(_json(request.name, found), self._usage, engine=self.fingerprint)
        except Failed as failure:
            failure.usage = self._usage
            return failure


class FunctionModel:
    """Serves `Generate` by one function of the user's that takes a prompt and returns text.

    The function gets the prompt as text, or as chat messages (`{"role": …, "content": …}`) where
    `takes` says so; a begun assistant turn comes last and is to be continued. Of `seed`, `temperature`,
    `max_tokens` and `stop` it gets those that its signature names. Tokens are estimated.

    >>> import asyncio
    >>> model = FunctionModel(lambda prompt: prompt.upper())
    >>> asyncio.run(model.serve([Generate(Prompt.raw("echo"), seed=0)]))[0].value.text
    'ECHO'
    """

    # Mutable on purpose: it holds threads.

    def __init__(
        self,
        function: Function,
        *,
        name: str = "",
        takes: Literal["text", "messages"] = "text",
        timeout_s: float = 600.0,
        threads: int = 8,
        usd_per_call: float | None = None,
    ) -> None:
        """Wrap the function.

        Args:
            function: plain (it may block) or `async`.
            name: stands in the fingerprint; by default the function's own.
            takes: what it is called with.
            timeout_s: how long one call may take.
            threads: calls at once.
            usd_per_call: what a call costs; `None`: unknown.
        """
        if takes not in ("text", "messages"):
            raise InvalidInput(f"takes={takes!r} was asked for; it is 'text' or 'messages'")
        self._function, self._takes = function, takes
        self._name = name or function_name(function)
        self._extras = _accepted(function)
        self._runner = _Runner(timeout_s, threads)
        self._usd, self._sizes = usd_per_call, PromptSizes()

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """Generation alone."""
        return frozenset((Generate,))

    @property
    def limits(self) -> Limits:
        """One call to a thread."""
        return Limits(concurrency=self._runner.threads.at_most)

    @property
    def fingerprint(self) -> str:
        """The function's name; its code is the user's to keep stable."""
        return f"function:{self._name}"

    def ceiling(self, request: Request[Any]) -> Usage:
        """The prompt and the cap, estimated."""
        if not isinstance(request, Generate):
            return self._usage(0, 0)
        return self._usage(self._sizes(request.prompt), request.max_tokens)

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> list[Reply[Any] | Failed]:
        """Answer each request, in order."""
        return await _all(batch, lambda index, request: self._one(index, request, emit))

    async def close(self) -> None:
        """Let the threads go; a function that never returns is not waited for."""
        self._runner.threads.close()

    async def _one(self, index: int, request: Request[Any], emit: Emit) -> Reply[Any] | Failed:
        if not isinstance(request, Generate):
            return Failed(
                f"a function model serves Generate, not {type(request).__name__}", "unserved"
            )
        if refusal := lacking(request):
            return Failed(f"the function {self._name!r} was not called: {refusal}", "unsupported")
        if cannot := _cannot(request):
            return Failed(f"the function {self._name!r} cannot give {cannot}", "unsupported")
        tokens_in = self._sizes(request.prompt)
        given = (
            messages(request.prompt) if self._takes == "messages" else plain_text(request.prompt)
        )
        try:
            text = await self._runner(self._name, self._function, [given], self._chosen(request))
            if not isinstance(text, str):
                found = type(text).__name__
                raise Failed(
                    f"the function {self._name!r} returned a {found}; return a str", "malformed"
                )
        except Failed as failure:
            failure.usage = self._usage(tokens_in, 0)
            return failure
        completion = replace(cut(request, text), ids=())
        emit(index, completion.text)
        usage = self._usage(tokens_in, completion.tokens)
        return Reply(completion, usage, engine=self.fingerprint)

    def _chosen(self, request: Generate) -> dict[str, Any]:
        known: dict[str, Any] = {
            "seed": request.seed,
            "temperature": request.sampling.temperature,
            "max_tokens": request.max_tokens,
            "stop": list(request.stop),
        }
        return {name: known[name] for name in self._extras}

    def _usage(self, tokens_in: int, tokens_out: int) -> Usage:
        return Usage(
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            calls=1,
            flops=None,
            bytes_moved=None,
            usd=self._usd,
            estimated=True,
        )


def function_name(function: Function) -> str:
    """A name for a function: its own, or its class's where it is an object.

    >>> function_name(len)
    'len'
    """
    return str(getattr(function, "__name__", type(function).__name__))


def messages(prompt: Prompt) -> list[dict[str, str]]:
    """The prompt as chat messages; raw text is one of the user's, a begun turn comes last."""
    found = [{"role": m.role, "content": m.content} for m in prompt.messages]
    if prompt.text:
        found.append({"role": "user", "content": prompt.text})
    if prompt.prefill:
        found.append({"role": "assistant", "content": prompt.prefill})
    return found


def plain_text(prompt: Prompt) -> str:
    """The prompt as one text: a lone user message as it is, others under the names of their roles."""
    turns = prompt.messages
    if not turns:
        return prompt.text + prompt.prefill
    if len(turns) == 1 and turns[0].role == "user":
        return f"{turns[0].content}\n\n{prompt.prefill}" if prompt.prefill else turns[0].content
    shown = [f"{m.role.capitalize()}: {m.content}" for m in turns]
    return "\n\n".join([*shown, f"Assistant: {prompt.prefill}".rstrip(" ")])


class _Runner:
    """Calls a function and turns everything that can go wrong into `Failed`."""

    # Mutable on purpose: it holds threads.

    def __init__(self, timeout_s: float, threads: int) -> None:
        if timeout_s <= 0 or threads < 1:
            raise InvalidInput(f"timeout_s={timeout_s} and threads={threads} must be above 0")
        self._timeout_s = timeout_s
        self.threads = Threads(threads)

    async def __call__(
        self, name: str, function: Function, args: list[Any], options: dict[str, Any]
    ) -> Any:
        if inspect.iscoroutinefunction(function):

            async def call() -> Any:  # so that wrong arguments, too, are raised inside
                return await function(*args, **options)

            return await self._awaited(name, call())
        try:
            found, error = await self.threads.run(
                lambda: function(*args, **options), self._timeout_s
            )
        except TimeoutError:
            raise self._late(name) from None
        except RuntimeError as closed:
            raise Failed(f"the function {name!r} was not called: {closed}", "cancelled") from None
        if error is not None:
            raise _raised(name, error)
        if inspect.isawaitable(found):
            return await self._awaited(name, found)
        return found

    async def _awaited(self, name: str, found: Awaitable[Any]) -> Any:
        import asyncio

        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                return await found
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # the driver cancelled us, not the function itself
            raise _raised(name, error) from None
        except Exception as error:
            raise (self._late(name) if limit.expired() else _raised(name, error)) from None

    def _late(self, name: str) -> Failed:
        held = self.threads.lost
        also = f"; {held} threads are held by calls that have not returned" if held > 1 else ""
        said = f"the function {name!r} did not return within {self._timeout_s:g} s{also}"
        return Failed(said, "timeout")


async def _all(
    batch: Sequence[Request[Any]],
    one: Callable[[int, Request[Any]], Awaitable[Reply[Any] | Failed]],
) -> list[Reply[Any] | Failed]:
    if len(batch) == 1:
        return [await one(0, batch[0])]
    import asyncio

    async def served(index: int) -> Reply[Any] | Failed:
        return await one(index, batch[index])

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(served(index)) for index in range(len(batch))]
    return [task.result() for task in tasks]


def _raised(name: str, error: BaseException) -> Failed:
    said = " ".join(str(error).split())
    said = said if len(said) <= _SAID else f"{said[:_SAID]}…"
    tail = f": {said}" if said else ""
    return Failed(f"the function {name!r} raised {type(error).__name__}{tail}", "crashed")


def _json(name: str, found: Any) -> Json:
    """The value as a journal gives it back, so that live and replayed runs see the same."""
    try:
        return freeze(json.loads(json.dumps(found, allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        kind = type(found).__name__
        why = " ".join(str(error).split())[:_SAID]
        raise Failed(
            f"the function {name!r} returned a {kind} that is no JSON value ({why}); "
            "return numbers, strings, lists or dictionaries",
            "malformed",
        ) from None


def _own(value: Json) -> Json:
    """A copy of an argument, so that a function that changes it does not change the request."""
    if isinstance(value, Mapping):
        return {k: _own(v) for k, v in cast(Mapping[str, Any], value).items()}
    if isinstance(value, tuple | list):
        return [_own(v) for v in cast(Sequence[Any], value)]
    return value


def _cannot(request: Generate) -> str:
    if request.constraint is not None:
        return f"output under a {type(request.constraint).__name__}; use an engine that enforces it"
    if request.logprobs >= 0:
        return "log-probabilities; use an engine that does, or a scorer that needs none"
    if tokens_read(request.until):
        return "what it thinks of its tokens; use an engine that does, or predicates on the text"
    if request.prompt.ids:
        return "an answer to token ids; use a prompt of text"
    return ""


def _accepted(function: Function) -> tuple[str, ...]:
    """The optional arguments that the signature names."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[1:]
    except (TypeError, ValueError):
        return ()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return _OPTIONAL
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return tuple(name for name in _OPTIONAL if name in named)
