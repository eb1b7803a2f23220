"""What revision, refinement and evolution share: independent lines, and ends that ask nothing in vain."""

from __future__ import annotations

import pytest
from successions import TASK, Counting, OneMax, engine

from cogitate.core.errors import Failed
from cogitate.core.requests import Call, Generate
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.processes import Answer, Reasoning
from cogitate.search import (
    Evolution,
    Refinement,
    SequentialRevision,
    Solve,
    Table,
    Tournament,
)
from cogitate.testing import Simulated, simulated_tasks

SEARCHES = [
    SequentialRevision(n=3, chains=3),
    Refinement(rounds=2, width=3, accept="newest", stop_unchanged=False),
    Evolution(population=4, generations=2, elites=1),
]


def solved(search, serve=None, **driven):
    strategy = Solve(OneMax(), Counting(), search)
    return run(strategy(TASK, Seed(0)), serve or engine(), **driven)


@pytest.mark.parametrize("search", SEARCHES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("process", [Answer(), Reasoning()], ids=lambda p: type(p).__name__)
def test_every_request_has_a_seed_of_its_own(search, process):
    """Lines of equal texts would otherwise stay equal for ever."""
    (task, _), serve = simulated_tasks(1)[0], Recording()
    run(Solve(process, Counting(), search)(task, Seed(0)), serve)
    assert len(serve.seeds) >= search.states()
    assert len(set(serve.seeds)) == len(serve.seeds)


class Recording(Simulated):
    """Remembers the seeds it was asked with."""

    def __init__(self):
        super().__init__(skill=0.6)
        self.seeds = []

    async def serve(self, batch, *rest):
        self.seeds += [request.seed for request in batch if isinstance(request, Generate)]
        return await super().serve(batch, *rest)


@pytest.mark.parametrize("search", SEARCHES, ids=lambda s: type(s).__name__)
def test_first_answers_are_the_first_samples(search):
    """Whatever the search, so that they are shared with best-of-N through a cache."""
    (task, _), asked = simulated_tasks(1)[0], Recording()
    run(Solve(Answer(), Counting(), search)(task, Seed(3)), asked)
    firsts = [Seed(3).at("sample", i, "step", 0).int() for i in range(3)]
    assert asked.seeds[:3] == firsts


def test_every_child_has_parents_of_its_own():
    ranking = solved(Evolution(population=12, generations=1, elites=0, select=Tournament(1))).value
    parents = {c.parent for c in ranking.items if c.parent is not None}
    assert len(parents) > 3


def test_the_number_of_parents_follows_its_schedule():
    serve = engine()
    solved(Evolution(4, 3, elites=0, parents=Table((9, 1, 3, 2))), serve)
    asked = [r.args[1] for r in serve.requests if isinstance(r, Call) and r.args[0] == "mutate"]
    assert asked == [1] * 4 + [3] * 4 + [2] * 4


def test_after_a_refusal_no_generation_follows():
    events = []
    solved(Evolution(4, 5, elites=0), budget=Budget(calls=6), listen=events.append)
    noted = [e for e in events if type(e).__name__ == "Noted"]
    lost = [e.data["id"] for e in noted if e.kind == "lost"]
    assert lost == ["g1.2", "g1.3"]


@pytest.mark.parametrize("search", SEARCHES[:2], ids=lambda s: type(s).__name__)
def test_after_a_refusal_no_line_goes_on(search):
    events = []
    solved(search, budget=Budget(calls=4), listen=events.append)
    noted = [e for e in events if type(e).__name__ == "Noted"]
    lost = [e.data["id"] for e in noted if e.kind == "lost"]
    assert sorted(lost) == ["0.2", "1.1", "2.1"], "each line loses once"


def test_a_last_generation_that_fails_leaves_the_one_before():
    seen = []

    def serve(request):
        seen.append(request)
        mutations = sum(r.args[0] == "mutate" for r in seen)
        return Failed("down") if mutations > 3 else None

    ranking = solved(Evolution(3, 2, elites=0, rank="last"), engine(serve)).value
    assert {c.id for c in ranking.items} == {"g1.0", "g1.1", "g1.2"}
