"""The searches of many lines beside each other that a spec may name."""

from __future__ import annotations

from typing import Any, Final, Literal

from cogitate.assembly import factory
from cogitate.assembly.factory import A_PROCESS, A_SCORER, A_STEP_SCORER, COUNT, Factory
from cogitate.rules.potentials import Potential
from cogitate.rules.resampling import Resampling

from .defaults import solve_alone
from .parts import count, counted
from .processes import reasoning


@factory.strategy
def dvts(
    kind: str,
    trees: int = 4,
    branch: COUNT = 4,
    depth: int = 16,
    scorer: A_STEP_SCORER | None = None,
    process: A_PROCESS | None = None,
    final: A_SCORER | None = None,
) -> Any:
    """Diverse verifier tree search: greedy subtrees beside each other, compared at the end.

    `final` ranks the finished answers anew, such as `majority()`.
    """
    from cogitate.search import DiverseTreeSearch

    search = DiverseTreeSearch(
        count(trees, "trees"), counted(branch, "branch"), count(depth, "depth")
    )
    chosen = process or reasoning().for_kind(kind)
    return solve_alone(kind, chosen, scorer, search, final)


@factory.strategy
def lookahead(
    kind: str,
    width: COUNT = 4,
    branch: COUNT = 4,
    depth: int = 16,
    steps: int = 1,
    greedy: bool = True,
    scorer: A_STEP_SCORER | None = None,
    process: A_PROCESS | None = None,
    final: A_SCORER | None = None,
) -> Any:
    """Beam search that scores a step by where `steps` more steps lead; costs steps + 1 times as much."""
    from cogitate.search import BeamSearch, Lookahead

    beam = BeamSearch(counted(width, "width"), counted(branch, "branch"), count(depth, "depth"))
    chosen = process or reasoning().for_kind(kind)
    return solve_alone(kind, chosen, scorer, Lookahead(beam, steps, greedy), final)


@factory.strategy
def particles(
    kind: str,
    population: COUNT = 8,
    depth: int = 16,
    potential: Potential = "value",
    temperature: float = 1.0,
    method: Resampling = "systematic",
    below: float = 1.0,
    log_odds: bool = False,
    rank: Literal["score", "copies"] = "score",
    scorer: A_STEP_SCORER | None = None,
    process: A_PROCESS | None = None,
    final: A_SCORER | None = None,
) -> Any:
    """Particle filtering: partial answers are drawn anew where their scores are high.

    `below` draws only where the effective size of the population falls below that share; `log_odds` is for
    scores that are probabilities.
    """
    from cogitate.search import Particles, Resample, Until

    search = Particles(
        counted(population, "population"),
        count(depth, "depth"),
        (Until(keep=Resample(potential, temperature, method, below)),),
        "log_odds" if log_odds else "as_is",
        rank,
    )
    chosen = process or reasoning().for_kind(kind)
    return solve_alone(kind, chosen, scorer, search, final)


FACTORIES: Final[tuple[Factory[...], ...]] = (dvts, lookahead, particles)
