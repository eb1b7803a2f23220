import asyncio

import pytest

from cogitate.bench.tasks import find
from cogitate.bench.tuning import Tried, settings, smallest, tune
from cogitate.core.errors import InvalidInput
from cogitate.rules.statistics import Interval


def tried(name, lead, cache, low=None):
    return Tried(
        name,
        Interval(0.5, 0.4, 0.6),
        Interval(lead, lead - 0.05 if low is None else low, lead + 0.05),
        cache,
        10.0,
    )


BASE = tried("rebase()", 0.0, 100.0, 0.0)


def test_takes_the_smallest_cache_within_the_tolerance():
    ones = [tried("a", -0.01, 80.0), tried("b", -0.02, 60.0), tried("c", -0.03, 40.0)]
    assert smallest(ones, BASE, 0.02).strategy == "b"
    assert smallest(ones, BASE, 0.0) is None
    assert smallest(ones, BASE, 0.06, sure=True).strategy == "a"
    assert smallest([tried("d", 0.2, 120.0)], BASE, 0.02) is None


def test_a_template_stands_for_every_combination():
    specs = settings("ets(cost={c}, coverage={v})", {"c": ("1", "2"), "v": ("0", "3")})
    assert len(specs) == 4
    assert specs[1] == "ets(cost=1, coverage=3)"
    assert settings("greedy()", {}) == ("greedy()",)


@pytest.mark.parametrize(
    ("template", "values", "said"),
    [
        ("ets()", {"cost": ("1",)}, "does not hold {cost}"),
        ("ets(cost={cost})", {}, "without values"),
    ],
)
def test_refuses_values_that_do_not_fit(template, values, said):
    with pytest.raises(InvalidInput, match=said):
        settings(template, values)


def test_tunes_a_pruned_tree_on_a_world():
    items = tuple(find("world:medium(problems=6, seed=7)").questions())
    found = asyncio.run(
        tune(
            items,
            ("ets(width=6, cost=0, coverage=0)", "ets(width=6, cost=50, coverage=0)"),
            model="sim:chain(preset='medium')",
            baseline="rebase(width=6)",
            tolerance=0.9,
        )
    )
    unpruned, pruned = found.tried
    # at no cost it is the baseline itself: nothing is saved, so it cannot be the choice
    assert unpruned.cache == found.baseline.cache
    assert unpruned.lead == Interval(0.0, 0.0, 0.0)
    assert pruned.cache < found.baseline.cache
    assert found.chosen is pruned
    assert found.as_json()["chosen"] == "ets(width=6, cost=50, coverage=0)"


def test_refuses_questions_without_a_reference_to_compare():
    with pytest.raises(InvalidInput, match="there are none"):
        asyncio.run(tune((), ("greedy()",), model="fake"))
    items = tuple(find("world:medium(problems=1)").questions())
    with pytest.raises(InvalidInput, match="tolerance of 2"):
        asyncio.run(tune(items, ("greedy()",), model="fake", tolerance=2))
