"""The searches that build on earlier whole answers, which a spec may name."""

from __future__ import annotations

from typing import Any, Final, Literal

from cogitate.assembly import factory
from cogitate.assembly.factory import A_PROCESS, A_SCORER, COUNT, Factory
from cogitate.core.errors import InvalidInput

from .defaults import solve
from .parts import MOST, count, counted
from .processes import answer
from .scorers import judge


@factory.strategy
def sequential_revision(
    kind: str,
    n: int = 4,
    chains: int = 2,
    context: int = 4,
    select: Literal["all", "chains"] = "all",
    scorer: A_SCORER | None = None,
    process: A_PROCESS | None = None,
) -> Any:
    """Chains of n answers, each revising those before it; a scorer chooses among all of them.

    A revision sees the last `context` attempts. With `select="chains"` the scorer chooses within each
    chain first, and then among the winners.
    """
    from cogitate.search import SequentialRevision
    from cogitate.search.revision import check_revisable

    chosen = process or answer().for_kind(kind)
    check_revisable(chosen)
    search = SequentialRevision(
        count(n, "n"), count(chains, "chains"), count(context, "context"), select
    )
    count(search.n * search.chains, "n × chains")
    return solve(kind, chosen, scorer, search)


@factory.strategy
def refine(
    kind: str,
    rounds: int = 3,
    width: int = 1,
    accept: Literal["better", "newest", "last"] = "better",
    good_enough: float | None = None,
    stop_unchanged: bool = True,
    scorer: A_SCORER | None = None,
    process: A_PROCESS | None = None,
) -> Any:
    """Revise answers by the critique that comes with their score, and go on from the better one.

    A line ends where its score reaches `good_enough`, or where a revision says the same again. "newest" goes
    on from every revision, and "last" ranks only the last answer of each line.
    """
    from cogitate.search import Refinement
    from cogitate.search.revision import check_revisable

    chosen = process or answer().for_kind(kind)
    check_revisable(chosen)
    search = Refinement(
        _from_zero(rounds, "rounds"), count(width, "width"), accept, good_enough, stop_unchanged
    )
    count(search.states(), "(rounds + 1) × width")
    return solve(kind, chosen, scorer if scorer is not None else judge().for_kind(kind), search)


@factory.strategy
def evolution(
    kind: str,
    population: COUNT = 8,
    generations: int = 3,
    elites: int = 2,
    select: Literal["tournament", "truncation"] = "tournament",
    size: int = 3,
    parents: COUNT = 2,
    strength: Any = None,
    breed: Literal["living", "ever"] = "living",
    rank: Literal["ever", "last"] = "ever",
    scorer: A_SCORER | None = None,
    process: A_PROCESS | None = None,
) -> Any:
    """The best answers of each generation live on and are parents of the next ones.

    Parents win tournaments of `size`, or are drawn from the `size` best by "truncation". `strength` is the
    temperature of children. `breed` says whether parents are of the last population or of all that were
    ever made; `rank`, which of these are answers.
    """
    raise NotImplementedError


def _from_zero(value: int, name: str) -> int:
    if not 0 <= value <= MOST:
        raise InvalidInput(f"{name}={value} was asked for; it lies between 0 and {MOST}")
    return value


FACTORIES: Final[tuple[Factory[...], ...]] = (sequential_revision, refine, evolution)
