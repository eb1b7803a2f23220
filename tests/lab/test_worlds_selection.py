"""Best-of-N through search, scorer and world, against its closed form."""

from __future__ import annotations

from statistics import fmean

import pytest

from cogitate.assembly.spec import read
from cogitate.core.flow import gather
from cogitate.core.seeds import Seed
from cogitate.drive import run
from cogitate.lab.worlds import ChainModel, best_of_gaussian, chains, preset, right_chance
from cogitate.rules import wilson

SURE = 0.9995


def best_of(world, n, count=200):
    """Whether the best-scored of so many samples is right, and how often it is expected to be."""
    strategy, problems = read(f"best_of(n={n}, scorer=prm())"), chains(world, count)

    async def every():
        return await gather(*(strategy(p.task, Seed(3).at(p.number)) for p in problems))

    found = run(every(), ChainModel(world)).value
    hits = [f.best.state.answer == p.gold for f, p in zip(found, problems, strict=True)]
    return hits, fmean(
        best_of_gaussian(right_chance(world, p), world.auc, n, 401) for p in problems
    )


@pytest.mark.parametrize(
    ("name", "n"), [("medium", 1), ("medium", 8), ("medium", 16), ("weak_verifier", 8)]
)
def test_solutions_that_differ_are_chosen_from_as_the_closed_form_says(name, n):
    hits, expected = best_of(preset(name), n)
    assert expected in wilson(sum(hits), len(hits), SURE)


def test_right_solutions_that_are_one_text_share_one_score():
    few, _ = best_of(preset("medium", wordings=1), 4)
    many, expected = best_of(preset("medium", wordings=1), 16)
    seen = wilson(sum(many), len(many), SURE)
    assert seen.high < expected - 0.1
    assert sum(many) < sum(few)
