from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules.tool_calls import nested_values, read_calls

names = st.text(st.characters(categories=["L"]), min_size=1, max_size=4)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=4))
arguments = st.dictionaries(
    names, st.recursive(scalars, lambda s: st.lists(s, max_size=3)), max_size=4
)


def written(calls, *, wrap, text, reverse):
    def one(name, given):
        items = dict(reversed(given.items())) if reverse else given
        call = {"name": name, "arguments": json.dumps(items) if text else items}
        return {"type": "function", "function": call} if wrap else call

    found = [one(*call) for call in calls]
    return json.dumps({"tool_calls": found} if wrap else found, indent=1 if reverse else None)


@given(
    st.lists(st.tuples(names, arguments), min_size=1, max_size=3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_the_form_does_not_matter(calls, wrap, text, reverse):
    plain = read_calls(json.dumps([{"name": n, "arguments": a} for n, a in calls]))
    assert plain is not None
    assert read_calls(written(calls, wrap=wrap, text=text, reverse=reverse)) == plain
    assert json.loads(plain.names) == [n for n, _ in calls]
    assert [n for n, _ in json.loads(plain.whole)] == [n for n, _ in calls]


@given(names, arguments, arguments)
def test_equal_spellings_are_equal_calls(name, first, second):
    def spelt(given):
        return read_calls(json.dumps({"name": name, "arguments": given}))

    def typed(value):  # True is not 1
        if isinstance(value, dict):
            return {k: typed(v) for k, v in value.items()}
        return [typed(v) for v in value] if isinstance(value, list) else (type(value), value)

    assert (spelt(first) == spelt(second)) == (typed(first) == typed(second))


def test_excluded_arguments_do_not_count():
    def spelt(raw, *exclude):
        return read_calls(json.dumps({"name": "find", "arguments": raw}), exclude)

    assert spelt({"q": 1, "id": 2}, "id") == spelt({"q": 1}) == spelt({"q": 1, "id": 2}, "find.id")
    assert spelt({"q": 1, "id": 2}, "seek.id") != spelt({"q": 1})
    assert spelt({"q": {"id": 1}}, "id") != spelt({"q": {}}, "id")  # the call's own arguments only


def test_numbers_are_exact_and_texts_are_no_numbers():
    def spelt(raw):
        return read_calls('{"name": "f", "arguments": {"a": ' + raw + "}}")

    assert spelt("1.0") == spelt("1") == spelt("1e0")
    assert spelt("0.1") != spelt("0.10000000000000000001")
    assert spelt('"1"') != spelt("1")


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "find(1)",
        "[]",
        "{}",
        '{"name": 5, "arguments": {}}',
        '{"name": " ", "arguments": {}}',
        '{"name": "f", "arguments": [1]}',
        '{"name": "f", "arguments": "not JSON"}',
        '{"name": "f", "arguments": 7}',
        '{"name": "f", "arguments": {"a": NaN}}',
        '{"name": "f", "arguments": {"a": 1, "a": 2}}',
        '[{"name": "f"}, 3]',
        '{"function": "f"}',
        '{"tool_calls": 5}',
        "[" * 100_000,
        '{"name": "f", "arguments": {"a": ' + "9" * 300_000 + "}}",
    ],
)
def test_what_is_no_call_abstains(answer):
    assert read_calls(answer) is None


def test_missing_and_empty_arguments_are_none():
    forms = ['{"name": "f"}', '{"name": "f", "arguments": {}}', '{"name": "f", "arguments": ""}']
    forms += ['{"name": "f", "arguments": null}', '{"name": " f "}']
    assert len({read_calls(form) for form in forms}) == 1


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 3), st.integers(0, 2))), max_size=12))
def test_tools_vote_before_arguments(votes):
    outer = [None if v is None else v[0] for v in votes]
    inner = [None if v is None else v[0] * 3 + v[1] for v in votes]
    values = nested_values(outer, inner)
    known = {v for v in inner if v is not None}
    assert set(values) == known
    assert all(0 < value < 1 for value in values.values())
    for a, b in itertools.permutations(known, 2):

        def key(c):
            return (-outer.count(c // 3), c // 3, -inner.count(c), c)

        assert (values[a] > values[b]) == (key(a) < key(b))
