"""Where the numbers come from: data sets with their licences, models, and the run card itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from .blocks import Block, Facts, Heading, Raw, Words
from .elements import Row, Table


def provenance(card: Mapping[str, Any]) -> Iterator[Block]:
    """Data, licences, models, prompts and the whole card."""
    tasks = _entries(card.get("tasks"), "name")
    if tasks:
        yield Heading(2, "Data and licences", "data")
        yield Words(
            "The licence is the data's own, and what it asks for goes with every copy of them.",
            "note",
        )
        for task in tasks:
            yield Heading(3, _said(task, "name"))
            yield Facts(tuple(_task(task)))
        citations = {_said(t, "name"): t["citation"] for t in tasks if t.get("citation")}
        if citations:
            yield Raw("How to cite the data", citations)
    models = _entries(card.get("models"), "label")
    if models:
        yield Heading(2, "Models", "models")
        yield Table(
            "Fingerprints name the weights, the template and the server as far as they are known",
            ("label", "role", "model", "fingerprint"),
            tuple(row for model in models for row in _model(model)),
            wrapped=frozenset({2, 3}),
        )
    yield Heading(2, "Run card", "card")
    known = [
        (name.replace("_", " "), _short(card[key]))
        for key, name in (
            ("package", "version of cogitate"),
            ("seeds", "seeds"),
            ("budgets", "budgets of a question"),
            ("budget", "budget of the run"),
        )
        if card.get(key)
    ]
    if known:
        yield Facts(tuple(known))
    yield Raw("The whole card, with the hashes of the prompts", dict(card))


def _task(task: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "licence", _said(task, "licence") or "not stated"
    rows, asked = _count(task.get("rows")), _count(task.get("asked"))
    if rows:
        yield "questions", f"{asked} of {rows}" if asked and asked != rows else rows
    for name, key in (
        ("judged by", "grader"),
        ("source", "source"),
        ("SHA-256", "checksum"),
        ("note", "note"),
    ):
        if task.get(key):
            yield name, _said(task, key)


def _model(model: Mapping[str, Any]) -> Iterator[Row]:
    specs, prints = model.get("specs"), model.get("fingerprints")
    held: Mapping[str, Any] = (
        cast("Mapping[str, Any]", specs)
        if isinstance(specs, Mapping)
        else {"policy": specs or model.get("spec", "")}
    )
    known: Mapping[str, Any] = (
        cast("Mapping[str, Any]", prints)
        if isinstance(prints, Mapping)
        else {"policy": prints or model.get("fingerprint", "")}
    )
    for role in dict.fromkeys((*held, *known)):
        yield Row((_said(model, "label"), role, str(held.get(role, "")), str(known.get(role, ""))))


def _entries(held: Any, name: str) -> list[Mapping[str, Any]]:
    """Cards in a list, or by name in a mapping."""
    if isinstance(held, Mapping):
        named = cast("Mapping[str, Any]", held)
        return [
            {name: key, **cast("Mapping[str, Any]", value)}
            if isinstance(value, Mapping)
            else {name: key, "spec": value}
            for key, value in named.items()
        ]
    if isinstance(held, list | tuple):
        listed = cast("list[Any]", held)
        return [
            cast("Mapping[str, Any]", one) if isinstance(one, Mapping) else {name: str(one)}
            for one in listed
        ]
    return []


def _said(held: Mapping[str, Any], key: str) -> str:
    value = held.get(key)
    return "" if value is None else str(value)


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else ""


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_short(one) for one in cast("list[Any]", value)) or "none"
    if isinstance(value, Mapping):
        held = cast("Mapping[str, Any]", value)
        known = [f"{n} {_short(v)}" for n, v in held.items() if v is not None]
        return ", ".join(known) or "unbounded"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
