"""A chat that uses tools: each turn is a call of one tool, or the answer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from cogitate.core.candidates import Artifact
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Call, Completion, Generate, JsonSchema, Sampling
from cogitate.core.seeds import Seed
from cogitate.core.task import Message, Task
from cogitate.rules.extraction import extract

from ._files import fill
from ._manner import refuse_manner
from .asking import instruction_for, prompt_of
from .presets import DEFAULT_SAMPLING

_SHOWN = 4_000
"""Characters of a tool's result that go into the prompt."""
_DEEPEST = 32
"""Lists and objects inside one another, in the arguments of a call."""


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
    schema: str = ""
    """Of a turn, where decoding is constrained."""


@dataclass(frozen=True)
class ToolUse:
    """Answers with the help of tools; proposes a turn before it acts.

    A proposal is a call, or anything else: the answer. A call is a JSON object that names a known tool with its
    arguments, bare, in a code fence or after a sentence of prose; it ends the text. What begins like a call and
    is none, or names an unknown tool or argument, has failed as a proposal (`Failed`, kind `form`) and can
    never be committed; but an answer of kind `json` is an object too, so there only the name of a known tool makes
    a call. Only `commit` touches the world: it asks `Call` once. A tool that fails is told to the model as such,
    and the talk goes on. `step` proposes and commits.

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
    constrained: bool = False
    """Need: each turn is decoded as JSON, a call of a known tool or `{"answer": …}`."""

    def __post_init__(self) -> None:
        names = [tool.name for tool in self.tools]
        if not names or len(set(names)) != len(names):
            raise InvalidInput(
                f"the tools {names} were asked for; give at least one, and none twice"
            )
        if self.turns < 1 or self.max_tokens < 1:
            raise InvalidInput("turns and max_tokens of a talk with tools must be at least 1")

    async def start(self, task: Task, seed: Seed) -> Talk:
        """Word the question, and say which tools there are.

        Raises:
            InvalidInput: where the task says how it wants to be answered, which a talk cannot promise.
        """
        refuse_manner(task, "a talk with tools")
        asked, listed = instruction_for(task, "answer"), "\n".join(f"- {t}" for t in self.tools)
        told = (
            fill("tools_json", answer=asked, tools=listed)
            if self.constrained
            else fill("tools", answer=asked, tools=listed)
        )
        schema = turn_schema(self.tools, task) if self.constrained else ""
        return Talk(prompt_of(task, "answer", told), task.kind, task.options, schema=schema)

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
            constraint=JsonSchema(state.schema) if state.schema else None,
            role=self.role,
        )
        return self._read(said, state.kind)

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
        call = _call(state.said.text)
        if call is None or self._tool(call) is None:
            return self._answered(state, state.said)
        answer = json.dumps(call, ensure_ascii=False, sort_keys=True)
        return Artifact(state.said.text, answer, state.kind, completions=(state.said,))

    async def render(self, state: Talk) -> Artifact:
        """The answer; a talk that did not come to one has none."""
        if state.said is None or state.considered:
            return Artifact("", None, state.kind, complete=False)
        return self._answered(state, state.said)

    def _answered(self, state: Talk, said: Completion) -> Artifact:
        complete = said.finish != "limit"
        text = _unwrapped(said.text) if self.constrained else said.text
        answer = extract(text, state.kind, complete=complete, options=state.options)
        return Artifact(text, answer, state.kind, complete, completions=(said,))

    def _tool(self, call: Mapping[str, Any]) -> Tool | None:
        return next((tool for tool in self.tools if tool.name == call["name"]), None)

    def _read(self, said: Completion, kind: str) -> Move:
        call = _call(said.text)
        tool = None if call is None else self._tool(call)
        if tool is None and self._may_answer(said.text, kind, called=call is not None):
            return Move(said)
        if call is None or tool is None or said.finish == "limit":
            raise Failed("the proposed turn is no call of a known tool", "form")
        given = cast("dict[str, Any]", call["arguments"])
        if set(given) != set(tool.arguments):
            raise Failed(
                f"the proposed call of {tool.name} has other arguments than it takes", "form"
            )
        return Move(said, tool.name, tuple(given[name] for name in tool.arguments))

    def _may_answer(self, text: str, kind: str, *, called: bool) -> bool:
        """Whether a text that calls no known tool can be meant as the answer."""
        if self.constrained:
            return "answer" in (_object(text) or {})
        return kind == "json" or not (called or _unfenced(text).startswith("{"))


def turn_schema(tools: tuple[Tool, ...], task: Task) -> str:
    """The JSON schema of a turn: a call of one of the tools, or an object with the answer.

    >>> turn_schema((Tool("stop"),), Task.of("?"))[:40]
    '{"anyOf": [{"type": "object", "propertie'
    """
    answer: Any = {"type": "string"}
    if task.kind == "json":
        answer = _object(task.schema) or {"type": "object"}
    calls = [
        _object_of(
            name={"const": tool.name},
            arguments=_object_of(**dict.fromkeys(tool.arguments, _ANYTHING)),
        )
        for tool in tools
    ]
    return json.dumps({"anyOf": [*calls, _object_of(answer=answer)]})


_ANYTHING = {"type": ["string", "number", "boolean", "null", "array", "object"]}


def _object_of(**members: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def _call(text: str) -> dict[str, Any] | None:
    """The call with which a text ends: `name` and `arguments`."""
    found = _object(text)
    if found is None:
        return None
    named, given = found.get("name"), found.get("arguments", {})
    if not isinstance(named, str) or not isinstance(given, Mapping):
        return None
    return {"name": named, "arguments": given}


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object from the first brace to the end of a text; hostile ones are none."""
    body = _unfenced(text)
    try:
        found = _frozen(json.loads(body[max(0, body.find("{")) :]), _DEEPEST)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _unfenced(text: str) -> str:
    """A text without the code fence around it, or at its end."""
    body = text.strip().removesuffix("```").rstrip()
    if body.startswith("```"):
        body = body.removeprefix("```").removeprefix("json").lstrip()
    return body


def _unwrapped(text: str) -> str:
    """The answer in `{"answer": …}`; a text that was cut is shown as it is."""
    found = _object(text)
    if found is None or "answer" not in found:
        return text
    answer = found["answer"]
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def _frozen(value: Any, deepest: int) -> Any:
    """JSON as a request keeps it: tuples for lists, finite numbers, and not too deep."""
    if deepest < 0 or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("the arguments are nested too deep, or hold a number that is none")
    if isinstance(value, list):
        return tuple(_frozen(item, deepest - 1) for item in cast("list[Any]", value))
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return {name: _frozen(item, deepest - 1) for name, item in members.items()}
    return value


def _shown(result: Any) -> str:
    text = (
        result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
    )
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " …"
