"""A chat that uses tools: each turn is a call of one tool, or the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from cogitate.core.candidates import Artifact
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Call, Completion, Generate, Sampling
from cogitate.core.seeds import Seed
from cogitate.core.task import Message, Task
from cogitate.rules.extraction import extract

from ._files import fill
from .asking import instruction_for, prompt_of
from .presets import DEFAULT_SAMPLING

_SHOWN = 4_000
"""Characters of a tool's result that go into the prompt."""


@dataclass(frozen=True)
class Tool:
    """A function of the caller's that the model may call.

    >>> print(Tool("look_up", ("word",), "explains a word"))
    look_up(word): explains a word
    """

    name: str
    """As the function is registered; the engine of functions serves it."""
    arguments: tuple[str, ...] = ()
    """Names of its arguments, in order."""
    purpose: str = ""
    """One line for the model."""

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or len(set(self.arguments)) != len(self.arguments):
            raise InvalidInput(
                f"the tool {self.name!r} with the arguments {self.arguments} was asked for; a name is an "
                "identifier, and no argument occurs twice"
            )

    def __str__(self) -> str:
        told = f": {self.purpose}" if self.purpose else ""
        return f"{self.name}({', '.join(self.arguments)}){told}"


@dataclass(frozen=True)
class Move:
    """What a turn would do."""

    completion: Completion
    tool: str = ""
    """Empty where it is the answer."""
    values: tuple[Any, ...] = ()
    """Of the tool's arguments, in its order."""


@dataclass(frozen=True)
class Talk:
    """A conversation so far."""

    prompt: Prompt
    kind: str
    options: tuple[str, ...] = ()
    turn: int = 0
    said: Completion | None = None
    """The answer, or a move that is only considered."""
    considered: bool = False

    @property
    def text(self) -> str:
        """What was said last."""
        return self.said.text if self.said is not None else ""


@dataclass(frozen=True)
class ToolUse:
    """Answers with the help of tools; proposes a turn before it acts.

    A proposal is a JSON object that names a known tool with its arguments, or anything else: the answer. One that
    begins like a call and is none, or names an unknown tool or argument, has failed as a proposal
    (`Failed`, kind `form`) and can never be committed. Only `commit` touches the world: it asks `Call` once. A tool that fails
    is told to the model as such, and the talk goes on. `step` proposes and commits.

    >>> ToolUse((Tool("look_up", ("word",)),)).turns
    8
    """

    tools: tuple[Tool, ...]
    turns: int = 8
    """Turns after which an unfinished talk ends."""
    sampling: Sampling = DEFAULT_SAMPLING
    max_tokens: int = 512
    logprobs: int = -1
    role: str = "policy"

    def __post_init__(self) -> None:
        names = [tool.name for tool in self.tools]
        if not names or len(set(names)) != len(names):
            raise InvalidInput(
                f"the tools {names} were asked for; give at least one, and none twice"
            )
        if self.turns < 1 or self.max_tokens < 1:
            raise InvalidInput("turns and max_tokens of a talk with tools must be at least 1")

    async def start(self, task: Task, seed: Seed) -> Talk:
        """Word the question, and say which tools there are."""
        told = fill(
            "tools",
            answer=instruction_for(task, "answer"),
            tools="\n".join(f"- {tool}" for tool in self.tools),
        )
        return Talk(prompt_of(task, "answer", told), task.kind, task.options)

    async def step(self, state: Talk, seed: Seed) -> Talk:
        """One turn: propose, and commit to it."""
        return await self.commit(state, await self.propose(state, seed))

    def done(self, state: Talk) -> bool:
        """Whether it is answered, or its turns are spent."""
        return (state.said is not None and not state.considered) or state.turn >= self.turns

    async def propose(self, state: Talk, seed: Seed) -> Move:
        """What the model would do next; nothing is done yet.

        Raises:
            Failed: for a malformed call (kind `form`).
        """
        said = await Generate(
            state.prompt,
            seed=seed.int(),
            max_tokens=self.max_tokens,
            least_tokens=self.max_tokens // 4,
            sampling=self.sampling,
            logprobs=self.logprobs,
            role=self.role,
        )
        return self._read(said)

    async def commit(self, state: Talk, move: Move) -> Talk:
        """Do it: call the tool once and hear its result, or end with the answer."""
        if not move.tool:
            return replace(state, said=move.completion, turn=state.turn + 1, considered=False)
        try:
            result = await Call(move.tool, move.values)
            told = fill("tool_result", tool=move.tool, result=_shown(result))
        except Failed as error:
            told = fill("tool_failed", tool=move.tool, reason=error.reason[:_SHOWN])
        spoken = state.prompt.then(move.completion.text, move.completion.ids)
        return replace(state, prompt=spoken.turn(Message("user", told)), turn=state.turn + 1)

    def considered(self, state: Talk, move: Move) -> Talk:
        """The talk with the move proposed, for scorers."""
        return replace(state, said=move.completion, considered=True)

    async def preview(self, state: Talk) -> Artifact:
        """The move that is considered, a call as its JSON; or what `render` shows."""
        if not state.considered or state.said is None:
            return await self.render(state)
        text = state.said.text
        call = _call(text)
        answer = (
            json.dumps(call, ensure_ascii=False, sort_keys=True)
            if call is not None
            else extract(text, state.kind, options=state.options)
        )
        return Artifact(text, answer, state.kind, completions=(state.said,))

    async def render(self, state: Talk) -> Artifact:
        """The answer; a talk that did not come to one has none."""
        said = state.said if not state.considered else None
        complete = said is not None and said.finish != "limit"
        text = said.text if said is not None else ""
        answer = extract(text, state.kind, complete=complete, options=state.options)
        completions = () if said is None else (said,)
        return Artifact(text, answer, state.kind, complete, completions=completions)

    def _read(self, said: Completion) -> Move:
        text = said.text.strip()
        if not text.startswith("{"):
            return Move(said)
        call = _call(text)
        tool = next((t for t in self.tools if call is not None and t.name == call["name"]), None)
        if call is None or tool is None or said.finish == "limit":
            raise Failed("the proposed turn is no call of a known tool", "form")
        given = cast("dict[str, Any]", call["arguments"])
        if set(given) != set(tool.arguments):
            raise Failed(
                f"the proposed call of {tool.name} has other arguments than it takes", "form"
            )
        return Move(said, tool.name, tuple(_frozen(given[name]) for name in tool.arguments))


def _call(text: str) -> dict[str, Any] | None:
    """The call that a text is, whole: `name` and `arguments`."""
    try:
        raw = json.loads(text.strip())
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict):
        return None
    found = cast("dict[str, Any]", raw)
    named, given = found.get("name"), found.get("arguments", {})
    if not isinstance(named, str) or not isinstance(given, dict):
        return None
    return {"name": named, "arguments": given}


def _frozen(value: Any) -> Any:
    """JSON as a request keeps it: tuples for lists."""
    if isinstance(value, list):
        return tuple(_frozen(item) for item in cast("list[Any]", value))
    if isinstance(value, Mapping):
        return {k: _frozen(v) for k, v in cast("Mapping[str, Any]", value).items()}
    return value


def _shown(result: Any) -> str:
    text = (
        result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
    )
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " …"
