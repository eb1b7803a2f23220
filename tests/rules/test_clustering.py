from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogitate.rules.clustering import LINKAGES, clusters, direction, mean_similarity

coordinates = st.floats(-5, 5).map(lambda x: round(x, 3))
vectors = st.lists(st.tuples(coordinates, coordinates, coordinates), max_size=9)


def cosine(a, b):
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def by_hand(found, distance, linkage):
    """Merge the closest pair of clusters again and again, every distance from all pairs of members."""
    groups = [[i] for i, v in enumerate(found) if any(v)]
    reduce = {"single": min, "complete": max, "average": lambda ds: math.fsum(ds) / len(ds)}[
        linkage
    ]
    while len(groups) > 1:
        pairs = [
            (reduce([1 - cosine(found[i], found[j]) for i in a for j in b]), a, b)
            for a, b in itertools.combinations(groups, 2)
        ]
        nearest, a, b = min(pairs, key=lambda pair: pair[0])
        if nearest > distance:
            break
        groups = [g for g in groups if g is not a and g is not b] + [a + b]
    return {frozenset(g) for g in groups}


def partition(labels):
    known = {label for label in labels if label is not None}
    return {frozenset(i for i, found in enumerate(labels) if found == label) for label in known}


@pytest.mark.parametrize("linkage", LINKAGES)
def test_it_is_agglomeration_by_brute_force(linkage):
    sizes = set()
    for seed in range(60):
        rng = random.Random(seed)
        count, dimensions = rng.randint(1, 14), rng.randint(2, 5)
        found = [tuple(rng.gauss(0.5, 1) for _ in range(dimensions)) for _ in range(count)]
        distance = rng.choice([0.05, 0.2, 0.5, 1.0])
        got = partition(clusters(found, distance, linkage))
        assert got == by_hand(found, distance, linkage)
        sizes.add(len(got))
    assert len(sizes) > 5


def test_single_linkage_finds_the_connected_components():
    for seed in range(30):
        rng = random.Random(seed)
        found = [(rng.gauss(0, 1), rng.gauss(0, 1), rng.gauss(0, 1)) for _ in range(12)]
        near = [[1 - cosine(a, b) <= 0.15 for b in found] for a in found]
        reach = [{i} for i in range(12)]
        for _ in range(12):
            reach = [r | {j for i in r for j in range(12) if near[i][j]} for r in reach]
        assert partition(clusters(found, 0.15, "single")) == {frozenset(r) for r in reach}


@given(vectors, st.sampled_from([0.0, 0.05, 0.3, 2.0]), st.sampled_from(LINKAGES), st.randoms())
@settings(max_examples=150)
def test_order_changes_neither_partition_nor_numbers(found, distance, linkage, rng):
    labels = clusters(found, distance, linkage)
    order = list(range(len(found)))
    rng.shuffle(order)
    assert clusters([found[i] for i in order], distance, linkage) == tuple(labels[i] for i in order)
    known = {label for label in labels if label is not None}
    assert known == set(range(len(known)))
    assert [label is None for label in labels] == [not any(v) for v in found]


@given(vectors)
def test_equal_vectors_share_a_cluster_and_a_wide_cut_joins_all(found):
    labels = clusters(found, 0.0)
    for a, b in itertools.combinations(range(len(found)), 2):
        if found[a] == found[b]:
            assert labels[a] == labels[b]
    assert len(partition(clusters(found, 2.1))) <= 1


def test_ties_fall_by_direction_and_chains_end():
    square = [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)]
    for order in itertools.permutations(square):
        labels = dict(zip(order, clusters(order, 1.0, "complete"), strict=True))
        assert labels == {(-1.0, 0.0): 0, (0.0, -1.0): 0, (0.0, 1.0): 1, (1.0, 0.0): 1}
    assert clusters([], 0.5) == ()


def test_a_weight_counts_every_copy():
    """Average linkage over members, not over different directions."""
    base, near, far = (1.0, 0.0), (0.9, 0.3), (0.5, 0.7)
    for copies in (1, 8):
        found = [base] * copies + [near, far]
        for distance in (0.05, 0.2, 0.25, 0.3, 0.35):
            assert partition(clusters(found, distance)) == by_hand(found, distance, "average")


@given(vectors)
def test_mean_similarity_is_that_of_all_pairs(found):
    known = [v for v in found if any(v)]
    for vector, got in zip(found, mean_similarity(found), strict=True):
        if not any(vector):
            assert got is None
        elif len(known) == 1:
            assert got == 1.0
        else:
            total = math.fsum(cosine(vector, other) for other in known) - 1.0
            assert got == pytest.approx(total / (len(known) - 1), abs=1e-9)


def test_what_has_no_direction():
    assert direction(()) is None
    assert direction((math.nan, 1.0)) is None
    assert direction((math.inf, 1.0)) is None
    assert math.hypot(*direction((1e300, 1e300))) == pytest.approx(1.0)
    assert math.hypot(*direction((1e-310, 0.0))) == pytest.approx(1.0)
