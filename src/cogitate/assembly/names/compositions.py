"""Compositions of strategies, and searches that stop or narrow, as a spec may name them."""

from __future__ import annotations

from typing import Any, Final

from cogitate.assembly import factory
from cogitate.assembly.factory import (
    A_PROCESS,
    A_SCORER,
    A_STEP_SCORER,
    A_STRATEGY,
    COUNT,
    Factory,
)
from cogitate.core.errors import InvalidInput

from .defaults import solve_alone
from .parts import count, counted, sampling_of
from .processes import answer, reasoning


@factory.strategy
def until_good(
    kind: str,
    at_most: int = 16,
    good_enough: float = 0.7,
    together: int = 4,
    scorer: A_STEP_SCORER | None = None,
    process: A_PROCESS | None = None,
) -> Any:
    """Samples until the first whose score is good enough, at most `at_most`.

    `good_enough` is in the scorer's own range. The scorer judges each sample by itself: a vote means nothing.
    """
    from cogitate.search import SampleUntilGood

    search = SampleUntilGood(count(at_most, "at_most"), good_enough, count(together, "together"))
    return solve_alone(kind, process or answer().for_kind(kind), scorer, search)


@factory.strategy
def halving(
    kind: str,
    n: int = 8,
    keep: float = 0.5,
    steps: int = 1,
    equal_cost: bool = False,
    depth: int = 16,
    scorer: A_STEP_SCORER | None = None,
    process: A_PROCESS | None = None,
    final: A_SCORER | None = None,
) -> Any:
    """Successive halving: many partial answers begin, and the better share of them goes on.

    With `equal_cost` the fewer lines of a later rung take more steps each.
    """
    from cogitate.search import SuccessiveHalving

    search = SuccessiveHalving(
        count(n, "n"), keep, count(steps, "steps"), equal_cost, count(depth, "depth")
    )
    return solve_alone(kind, process or reasoning().for_kind(kind), scorer, search, final)


@factory.process
def tool_use(
    kind: str,
    tools: tuple[str, ...] = ("look_up(word)",),
    turns: int = 8,
    temperature: float = 0.7,
    top_p: float = 0.95,
    max_tokens: int = 512,
    constrained: bool = False,
) -> Any:
    """A chat that calls tools of the caller's, each written like `look_up(word): explains a word`.

    The functions themselves are given where the strategy is run, by their names. `constrained` decodes each turn
    as JSON, and needs a model that can.
    """
    from cogitate.processes import ToolUse

    return ToolUse(
        tuple(_tool(text) for text in tools),
        count(turns, "turns"),
        sampling_of(temperature, top_p),
        count(max_tokens, "max_tokens"),
        constrained=constrained,
    )


def _tool(text: str) -> Any:
    import re

    from cogitate.processes import Tool

    found = re.fullmatch(r"\s*(\w+)\(([\w\s,]*)\)\s*(?::\s*(.*))?", text)
    if found is None:
        raise InvalidInput(f"a tool is written like 'look_up(word): explains a word', not {text!r}")
    arguments = tuple(name.strip() for name in found[2].split(",") if name.strip())
    return Tool(found[1], arguments, found[3] or "")


@factory.strategy
def best_action(
    kind: str,
    k: COUNT = 4,
    turns: int = 8,
    scorer: A_STEP_SCORER | None = None,
    process: A_PROCESS | None = None,
) -> Any:
    """At each turn propose k moves, score them, and commit to the best: for processes that act."""
    from cogitate.search import BestAction
    from cogitate.search.best_action import deliberate

    chosen = process if process is not None else tool_use().for_kind(kind)
    deliberate(chosen)
    search = BestAction(counted(k, "k"), count(turns, "turns"))
    return solve_alone(kind, chosen, scorer, search)


@factory.strategy
def cascade(
    kind: str, cheap: A_STRATEGY, dear: A_STRATEGY, below: float = 0.6, share: float = 1.0
) -> Any:
    """A cheap strategy first; a dear one where its best score is below `below`.

    After a vote the score is the share of the votes. `share` caps what the cheap one may spend.
    """
    from cogitate.search import Below, Cascade

    return Cascade(cheap, dear, Below(below), share)


@factory.strategy
def escalate(
    kind: str,
    levels: tuple[A_STRATEGY, ...],
    below: float = 0.6,
    shares: tuple[float, ...] = (),
) -> Any:
    """Strategies in turn, each dearer, until one's best score is at least `below`."""
    from cogitate.search import Below, Escalate

    return Escalate(levels, Below(below), shares)


@factory.strategy
def route(
    kind: str,
    arms: tuple[A_STRATEGY, ...],
    edges: tuple[float, ...] = (),
    samples: int = 4,
    process: A_PROCESS | None = None,
) -> Any:
    """One of the arms by how far a few samples agree: the first for the most agreement.

    Arm i is for agreements of at least `edges[i]`, the last for what is below all; even shares by default.
    """
    from cogitate.search import ByAgreement, ByKind, Route

    if len(arms) == 1:
        return Route(ByKind(()), arms)
    edges = edges or tuple(i / len(arms) for i in range(len(arms) - 1, 0, -1))
    if len(arms) != len(edges) + 1:
        raise InvalidInput(
            f"{len(arms)} arms and {len(edges)} edges were asked for; there is one arm more than edges"
        )
    chosen = process if process is not None else answer().for_kind(kind)
    return Route(ByAgreement(chosen, edges, count(samples, "samples")), arms)


FACTORIES: Final[tuple[Factory[...], ...]] = (
    until_good,
    halving,
    tool_use,
    best_action,
    cascade,
    escalate,
    route,
)
