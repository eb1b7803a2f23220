"""Best action: propose several moves, commit to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from cogitate.core.candidates import Candidate, Ranking, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.flow import gather, note
from cogitate.core.protocols import Deliberate, Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.rules.selection import top_k

from .rollout import Lost, ending, judged, lose
from .schedules import Schedule, at, check_count

S = TypeVar("S")
M = TypeVar("M")


@runtime_checkable
class Acting(Process[S], Deliberate[S, M], Protocol[S, M]):
    """A process whose steps have effects in the world, so that they are weighed before they are taken."""

    def considered(self, state: S, move: M) -> S:
        """The state as it looks with the move proposed: for scorers, never to go on from."""
        ...


@dataclass(frozen=True)
class BestAction:
    """At each turn propose `k` moves, score them, and commit to the best; nothing else touches the world.

    Proposals are made together; one that fails is left out. Ties go to the earliest. A commit is made once and never
    repeated: where it fails, or the grant ends between proposal and commit, the run ends with what was
    done before. The process must be `Deliberate` and show its moves (`considered`).

    >>> BestAction(k=4, turns=16)
    BestAction(k=4, turns=16)

    Reference:
        @misc{yang2025gta1, title={{GTA1}: {GUI} Test-time Scaling Agent}, author={Yang, Yan and others},
          year={2025}, eprint={2507.05791}}
    """

    k: int | Schedule = 4
    """Moves proposed at a turn; 1 needs no scorer and asks none."""
    turns: int = 16

    def __post_init__(self) -> None:
        check_count("k", self.k)
        check_count("turns", self.turns)

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        return sum(at(self.k, turn) for turn in range(self.turns) if at(self.k, turn) > 1)

    async def __call__(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        acting = deliberate(process)
        lost: list[Lost] = []
        try:
            state = await process.start(task, seed.at("sample", 0, "start"))
        except (OutOfBudget, Failed) as error:
            return Ranking((), *_end([await lose("root", error)], empty=True))
        id, parent, score, taken = "root", None, _UNSCORED, 0
        await note("expanded", id=id, parent=None, depth=0, done=process.done(state))
        while taken < self.turns and not process.done(state):
            turn = await self._turn(acting, scorer, task, state, seed, taken, id)
            if isinstance(turn, Lost):
                lost.append(turn)
                break
            state, score, chosen = turn
            parent, id, taken = id, chosen, taken + 1
        item = Candidate(state, score, id, parent)
        stopped, told = _end(lost, empty=False)
        said = f"{taken} moves were made"
        return Ranking((item,), stopped, f"{said}; {told}" if told else said)

    async def _turn(
        self, acting: Acting[S, Any], scorer: Scorer[S], task: Task, state: S, seed: Seed,
        turn: int, id: str,
    ) -> tuple[S, Score | Unscored, str] | Lost:  # fmt: skip
        """Propose, choose, commit."""
        line = seed.at("sample", 0)
        names = [f"{id}.{j}" if id != "root" else f"{j}" for j in range(at(self.k, turn))]
        found = await gather(
            *(_proposed(acting, state, _seed(line, turn, j), name) for j, name in enumerate(names))
        )
        moves = [(n, m[0]) for n, m in zip(names, found, strict=True) if not isinstance(m, Lost)]
        if not moves:
            return next(m for m in found if isinstance(m, Lost))
        scores: list[Score | Unscored] = [_UNSCORED] * len(moves)
        if len(moves) > 1:
            views = [acting.considered(state, move) for _, move in moves]
            scores = await judged(scorer, task, views, [name for name, _ in moves])
        values = [s.value if isinstance(s, Score) else float("-inf") for s in scores]
        best = top_k(values, 1)[0]
        name, move = moves[best]
        await note("kept", ids=[name], depth=turn)
        await note("pruned", ids=[n for n, _ in moves if n != name], depth=turn)
        try:
            after = await acting.commit(state, move)
        except (OutOfBudget, Failed) as error:
            return await lose(name, error)
        await note("expanded", id=name, parent=id, depth=turn + 1, done=acting.done(after))
        return after, scores[best], name


_UNSCORED = Unscored("it was the only move", "abstained")


def deliberate(process: Any) -> Acting[Any, Any]:
    """The process, where it can weigh its moves.

    Raises:
        InvalidInput: where it cannot.
    """
    if isinstance(process, Acting):
        return cast(Acting[Any, Any], process)
    raise InvalidInput(
        f"{type(process).__name__} cannot propose moves before it commits to them; use a process that "
        "can, such as tool_use(...)"
    )


def _seed(line: Seed, turn: int, j: int) -> Seed:
    """The first proposal continues the sample's own line."""
    return line.at("step", turn) if j == 0 else line.at("branch", turn, j)


async def _proposed(acting: Acting[S, M], state: S, seed: Seed, name: str) -> tuple[M] | Lost:
    try:
        return (await acting.propose(state, seed),)
    except (OutOfBudget, Failed) as error:
        return await lose(name, error)


def _end(lost: list[Lost], *, empty: bool) -> tuple[str, str]:
    return ending([one.cause for one in lost], empty=empty or bool(lost)), "; ".join(
        one.reason for one in lost
    )
