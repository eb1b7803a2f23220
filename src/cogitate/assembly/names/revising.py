"""The searches that build on earlier whole answers, which a spec may name."""

from __future__ import annotations

from typing import Any, Final, Literal

from cogitate.assembly import factory
from cogitate.assembly.factory import A_PROCESS, A_SCORER, A_STEP_SCORER, COUNT, Factory
from cogitate.core.errors import InvalidInput

from .defaults import solve, solve_alone
from .parts import MOST, count, counted
from .processes import answer


@factory.strategy
def sequential_revision(
    kind: str,
    n: int = 4,
    chains: int = 1,
    context: int = 4,
    select: Literal["all", "chains"] = "all",
    scorer: A_SCORER | None = None,
    process: A_PROCESS | None = None,
) -> Any:
    """Chains of n answers, each a revision of those before it; a scorer chooses.

    A revision sees the last `context` attempts. With `select="chains"` the scorer chooses within each
    chain first, and then among the winners.
    """
    from cogitate.search import SequentialRevision
    from cogitate.search.revision import check_revisable

    search = SequentialRevision(
        count(n, "n"), count(chains, "chains"), count(context, "context"), select
    )
    count(n * chains, "n * chains")
    chosen = process or answer().for_kind(kind)
    check_revisable(chosen)
    return solve(kind, chosen, scorer, search)


@factory.strategy
def refine(
    kind: str,
    rounds: int = 3,
    width: int = 1,
    accept: Literal["better", "newest", "last"] = "better",
    good_enough: float | None = None,
    stop_unchanged: bool = True,
    scorer: A_STEP_SCORER | None = None,
    process: A_PROCESS | None = None,
    final: A_SCORER | None = None,
) -> Any:
    """Revise answers by the critique that comes with their score, and keep the better.

    `width` lines go on side by side, and end where a score reaches `good_enough` or an answer does not
    change. "newest" goes on from every revision, and "last" ranks only the last answer of each line; `final`
    ranks the answers anew, such as `majority()`.
    """
    from cogitate.search import Refinement
    from cogitate.search.revision import check_revisable

    search = Refinement(
        _from_zero(rounds, "rounds"), count(width, "width"), accept, good_enough, stop_unchanged
    )
    count(search.states(), "(rounds + 1) * width")
    chosen = process or answer().for_kind(kind)
    check_revisable(chosen)
    return solve_alone(kind, chosen, scorer, search, final)


@factory.strategy
def evolution(
    kind: str,
    population: COUNT = 8,
    generations: int = 3,
    elites: int = 2,
    select: Literal["tournament", "truncation"] = "tournament",
    size: int = 3,
    parents: COUNT = 2,
    strength: COUNT | float | None = None,
    breed: Literal["living", "ever"] = "living",
    rank: Literal["ever", "last"] = "ever",
    scorer: A_STEP_SCORER | None = None,
    process: A_PROCESS | None = None,
    final: A_SCORER | None = None,
) -> Any:
    """Generations of answers, each made of selected earlier ones; the best live on.

    Parents win tournaments of `size`, or are drawn from the `size` best by "truncation". `strength` is of
    mutation: for texts the temperature. `breed` says whether parents are of the last population or of all that
    were ever made, and `rank` whether all are answers or the last generation only.
    """
    from cogitate.search import Evolution, Tournament, Truncation
    from cogitate.search.evolution import check_mutable

    search = Evolution(
        counted(population, "population"),
        _from_zero(generations, "generations"),
        _from_zero(elites, "elites"),
        (Tournament if select == "tournament" else Truncation)(count(size, "size")),
        counted(parents, "parents"),
        strength,
        breed,
        rank,
    )
    chosen = process or answer().for_kind(kind)
    check_mutable(chosen, strength=strength is not None)
    return solve_alone(kind, chosen, scorer, search, final)


def _from_zero(value: int, name: str) -> int:
    if not 0 <= value <= MOST:
        raise InvalidInput(f"{name}={value} was asked for; it lies between 0 and {MOST}")
    return value


FACTORIES: Final[tuple[Factory[...], ...]] = (sequential_revision, refine, evolution)
