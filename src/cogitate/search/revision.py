"""Sequential revision: chains of answers, each made with the last few before it in sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeVar, cast

from cogitate.core.candidates import Critique, Ranking, Score, Unscored
from cogitate.core.errors import InvalidInput
from cogitate.core.flow import gather, note
from cogitate.core.protocols import Process, Remembering, Revisable, RevisableProcess, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

from ._succession import cause, finished, follow, judges_alone, refused, told
from .rollout import Lost, Rollout, judged, rollout
from .schedules import check_count

S = TypeVar("S")
Chain = list[Rollout[S] | Lost]

LOOK_AGAIN = Critique("")
"""No critique: the process words by itself that the answer is to be looked at again."""


@dataclass(frozen=True)
class SequentialRevision:
    """Draw some chains of n answers, each answer but the first a revision of the one before.

    Chains x n answers are made; their ratio trades depth for breadth, and n = 1 is exactly best-of-N. A
    revision is told nothing of scores. It sees the last `context` attempts where the process remembers
    attempts, else the last one. A chain that loses a revision goes on from its last whole answer, and ends where
    the budget refuses.

    With `select="chains"` the scorer chooses within each chain first, and then among the winners, which
    alone are ranked; a scorer that judges every state by itself is not asked again. Votes over short
    chains are unstable, so by default all answers are scored together.

    >>> SequentialRevision(n=4, chains=2).states()
    8

    Reference:
        @article{snell2024scaling,
          title={Scaling LLM Test-Time Compute Optimally can be More Effective than Scaling Model Parameters},
          author={Snell, Charlie and Lee, Jaehoon and Xu, Kelvin and Kumar, Aviral},
          journal={arXiv preprint arXiv:2408.03314},
          year={2024}
        }

    Deviates: verifiers are not shown the history of a chain; a model that was not trained to revise does it
    by prompt.
    """

    n: int = 4
    """Answers in each chain."""
    chains: int = 1
    context: int = 4
    """Attempts that a revision is shown."""
    select: Literal["all", "chains"] = "all"

    def __post_init__(self) -> None:
        check_count("n", self.n)
        check_count("chains", self.chains)
        check_count("context", self.context)
        if self.select not in ("all", "chains"):
            raise InvalidInput(f'select={self.select!r} was asked for; it is "all" or "chains"')

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        again = self.chains if self.select == "chains" and self.n > 1 and self.chains > 1 else 0
        return self.n * self.chains + again

    async def __call__(
        self, process: RevisableProcess[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        check_revisable(process)
        found = await gather(*(self._chain(process, task, seed, c) for c in range(self.chains)))
        samples = [sample for chain in found for sample in chain]
        whole = finished(samples)
        parents = {s.id: before.id for chain in found for before, s in _pairs(chain)}
        asked = self.n * self.chains
        if self.select == "all" or self.n == 1 or self.chains == 1:
            scores = await _scores(scorer, task, whole)
            return told(samples, scores, parents, asked=asked)
        winners, scores = await _of_chains(scorer, task, [finished(chain) for chain in found])
        chosen = {w.id for w in winners}
        await note("kept", ids=[w.id for w in winners], depth=self.n)
        await note("pruned", ids=[s.id for s in whole if s.id not in chosen], depth=self.n)
        rest = [s for s in samples if isinstance(s, Lost) or s.cut is not None or s.id in chosen]
        ranking = told(rest, scores, parents, asked=asked)
        within = (
            f"{len(whole)} of {asked} answers finished, {len(winners)} chosen within their chains"
        )
        return replace(ranking, note=f"{within}; {ranking.note}")

    async def _chain(
        self, process: RevisableProcess[S], task: Task, seed: Seed, index: int
    ) -> Chain[S]:
        first = await rollout(process, task, seed, index)
        chain: Chain[S] = [first]
        if not isinstance(first, Rollout) or first.cut is not None:
            return chain
        last, line = first, seed.at("sample", index)
        for number in range(1, self.n):
            at, id = line.at("revise", number), f"{index}.{number}"
            make = partial(process.revise, self._seen(process, last.state), LOOK_AGAIN, at)
            later = await follow(process, make, at, id, last.id)
            chain.append(later)
            if isinstance(later, Rollout) and later.cut is None:
                last = later
            elif refused([cause(later)]):
                break
        return chain

    def _seen(self, process: Process[S], state: S) -> S:
        if isinstance(process, Remembering):
            return cast(Remembering[S], process).remembering(state, self.context)
        return state


def check_revisable(process: object) -> None:
    """Refuse a process that cannot revise.

    Raises:
        InvalidInput: in one sentence.
    """
    if not isinstance(process, Revisable):
        raise InvalidInput(
            f"revisions were asked for, but {type(process).__name__} cannot revise; give a process with "
            "revise(state, critique, seed), such as Answer()"
        )


def _pairs(chain: Chain[S]) -> list[tuple[Rollout[S], Rollout[S]]]:
    """Each revision that gave something, with what it revised."""
    pairs: list[tuple[Rollout[S], Rollout[S]]] = []
    last: Rollout[S] | None = None
    for sample in chain:
        if isinstance(sample, Lost):
            continue
        if last is not None:
            pairs.append((last, sample))
        if sample.cut is None:
            last = sample
    return pairs


async def _scores(
    scorer: Scorer[S], task: Task, samples: Sequence[Rollout[S]]
) -> list[Score | Unscored]:
    return await judged(scorer, task, [s.state for s in samples], [s.id for s in samples])


async def _of_chains(
    scorer: Scorer[S], task: Task, chains: Sequence[Sequence[Rollout[S]]]
) -> tuple[list[Rollout[S]], list[Score | Unscored]]:
    """The best answer of each chain by the scores within it, and the scores among these."""
    chains = [chain for chain in chains if chain]
    within = await gather(*(_scores(scorer, task, chain) for chain in chains))
    winners: list[Rollout[S]] = []
    values: list[Score | Unscored] = []
    for chain, scores in zip(chains, within, strict=True):
        best = max(range(len(chain)), key=lambda i: (_rank(scores[i]), -i))
        winners.append(chain[best])
        values.append(scores[best])
    if judges_alone(scorer) or len(winners) < 2:
        return winners, values
    return winners, await _scores(scorer, task, winners)


def _rank(score: Score | Unscored) -> tuple[float, float]:
    """By value; in a vote by the candidate's own score within its class."""
    if isinstance(score, Unscored):
        return (float("-inf"), 0.0)
    own = score.features.get("own", ())
    return (score.value, own[0] if own else 0.0)
