"""A vote of tool calls: calls agree where the tool and the arguments that matter do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import InvalidInput
from cogitate.core.task import Task
from cogitate.rules.tool_calls import CalledTools, nested_values, read_calls
from cogitate.rules.votes import Tally, majority

from .votes import NO_ANSWER, vote_scores

_MALFORMED = Unscored("its answer is no tool call, so it has no vote", "abstained")


@dataclass(frozen=True)
class ToolCallVote:
    """The most frequent tool call, without the arguments that need not agree.

    Answers are JSON (see `rules.tool_calls` for the forms); keys have no order, numbers are exact, a list of
    calls agrees where each does in its place. Candidates without an answer, or whose answer is no call,
    abstain. `Score.value` is the share of all candidates that made this call; with `hierarchical` the tools
    vote first and the arguments among those who chose the winning tools, so it is
    `rules.tool_calls.nested_values`. Ties go to the canonically first call. Nothing is asked. Features:
    those of `Majority`, and `tool_votes`, the votes for the same tools.

    >>> seen = [Artifact("", f'{{"name": "find", "arguments": {{"q": {q}, "id": {i}}}}}') for i, q in enumerate("121")]
    >>> flow = ToolCallVote(exclude=("id",))(Task.of("Find it."), seen)
    >>> try:
    ...     flow.send(None)
    ... except StopIteration as done:
    ...     [round(score.value, 2) for score in done.value]
    [0.67, 0.33, 0.67]
    """

    exclude: tuple[str, ...] = ()
    """Arguments that do not count: `name` for every tool, `tool.name` for one."""
    hierarchical: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.exclude, str) or not all(self.exclude):
            raise InvalidInput(
                f"exclude={self.exclude!r} was asked for; give a tuple of names, none empty"
            )

    @property
    def counts_votes(self) -> bool:
        """A plain vote may be counted again and again; a hierarchical one is not decided by counts alone."""
        return not self.hierarchical

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        if not states:
            return []
        calls = [self._read(artifact) for artifact in states]
        tools = _numbered([None if c is None else c.names for c in calls])
        classes = _numbered([None if c is None else c.whole for c in calls])
        chosen = {c.label: float(c.votes) for c in majority(tools).standing}
        tally: Tally = majority(classes)
        scores = vote_scores(tally, classes, 1 / len(states))
        if self.hierarchical:
            values = nested_values(tools, classes)
            scores = [
                replace(score, value=values[label])
                if isinstance(score, Score) and label is not None
                else score
                for score, label in zip(scores, classes, strict=True)
            ]
        return [
            replace(score, features={**score.features, "tool_votes": (chosen[tool],)})
            if isinstance(score, Score) and tool is not None
            else (NO_ANSWER if artifact.answer is None or not artifact.complete else _MALFORMED)
            for score, tool, artifact in zip(scores, tools, states, strict=True)
        ]

    def _read(self, artifact: Artifact) -> CalledTools | None:
        if artifact.answer is None or not artifact.complete:
            return None
        return read_calls(artifact.answer, self.exclude)


def _numbered(forms: Sequence[str | None]) -> list[int | None]:
    """The number of each form in the order of forms."""
    number = {form: i for i, form in enumerate(sorted({f for f in forms if f is not None}))}
    return [None if form is None else number[form] for form in forms]
