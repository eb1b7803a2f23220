"""Charts: axes that can be read, labels that do not touch, series that do not mix."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cogitate.bench.report as report
from cogitate.bench.metrics.values import Accuracy, Coverage, Curve, Point
from cogitate.bench.report.axes import Axis, amount, costs, counts, shares
from cogitate.bench.report.chart import Chart, Series, drawn, spread
from cogitate.bench.report.chart import Point as Mark
from cogitate.bench.report.figures import Slots, curve_view, frontier_view
from cogitate.bench.report.naming import short_names

STYLE = (Path(report.__file__).parent / "report.css").read_text("utf-8")
SVG = "{http://www.w3.org/2000/svg}"


def accuracy(value: float, kind: type = Accuracy):
    return kind(100, value, value - 0.05, value + 0.05, "wilson", (0,))


def curve(line: str, values: list[float], unit: str = "n", kind: type = Accuracy) -> Curve:
    points = tuple(Point(2.0**k, accuracy(v, kind), f"{line}({k})") for k, v in enumerate(values))
    return Curve("sums", "small", line, unit, points)


def elements(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" '))


def test_numbers_of_samples_have_a_tick_at_every_power_of_two() -> None:
    axis = counts([1, 2, 64], "N")
    assert [text for _, text in axis.ticks] == ["1", "2", "4", "8", "16", "32", "64"]
    places = [axis.place(value) for value, _ in axis.ticks]
    assert [round(b - a, 9) for a, b in itertools.pairwise(places)] == [round(1 / 6, 9)] * 6


@given(
    st.floats(1e-9, 1e21),
    st.floats(1, 1e9),
)
def test_an_axis_of_cost_holds_its_values_and_has_two_numbers_at_least(
    low: float, factor: float
) -> None:
    high = low * factor
    axis = costs([low, high], "cost")
    assert axis.low <= low <= high <= axis.high
    assert 2 <= len(axis.ticks) <= 40
    assert [v for v, _ in axis.ticks] == sorted({v for v, _ in axis.ticks})
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)
    assert 0.0 < axis.place(low) <= axis.place(high) < 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_an_axis_of_shares_stays_within_them(values: list[float]) -> None:
    axis = shares(values, "accuracy")
    assert axis.low <= min(values) <= max(values) <= axis.high
    assert 2 <= len(axis.ticks) <= 12
    assert all(-1e-9 <= v <= 1 + 1e-9 for v, _ in axis.ticks)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (999.6, "1k"), (1536, "1.54k"), (2.5e12, "2.5\u202fT"), (0.031, "0.031"), (-1200, "\u22121.2k")],
)  # fmt: skip
def test_amounts_are_short(value: float, text: str) -> None:
    assert amount(value) == text


@given(st.lists(st.floats(0, 300), max_size=12))
def test_labels_never_touch_and_keep_their_order(wanted: list[float]) -> None:
    places = spread(wanted, 15, 0, 300)
    ordered = sorted(places)
    assert all(b - a >= 15 - 1e-6 for a, b in itertools.pairwise(ordered))
    assert all(-1e-6 <= p <= 300 + 1e-6 for p in places)
    for (a, at), (b, other) in itertools.combinations(zip(wanted, places, strict=True), 2):
        assert (a - b) * (at - other) >= 0


def test_labels_that_have_room_stay_where_they_are() -> None:
    assert spread([10.0, 100.0, 40.0], 15, 0, 300) == [10.0, 100.0, 40.0]


def test_a_chart_is_well_formed_and_says_what_it_shows() -> None:
    series = Series(
        "a <b> & c", (Mark(1, 0.2, 0.1, 0.3, "told"), Mark(4, 0.5, 0.4, 0.6, "told")), 0
    )
    chart = Chart(
        "c1", "title <i>", "in words", counts([1, 4], "N"), shares([0.1, 0.6], "y"), (series,)
    )
    root = elements(drawn(chart, 800, 400))
    assert root.get("role") == "img"
    said = {e.get("id"): e.text for e in root if e.tag in (f"{SVG}title", f"{SVG}desc")}
    assert [said[id] for id in (root.get("aria-labelledby") or "").split()] == [
        "title <i>",
        "in words",
    ]
    marks = root.findall(f".//{SVG}path[@data-told]")
    assert [m.get("data-told") for m in marks] == ["told", "told"]
    assert len(root.findall(f"{SVG}path[@class='band s0']")) == 1
    assert "a <b> & c" in [e.text for e in root.iter(f"{SVG}text")]


def test_marks_lie_where_their_values_are() -> None:
    series = Series(
        "a", (Mark(1, 0.0, told="x"), Mark(2, 0.5, told="x"), Mark(4, 1.0, told="x")), 0
    )
    chart = Chart(
        "c", "t", "d", counts([1, 4], "N"), Axis("y", 0, 1, ((0, "0"), (1, "100"))), (series,)
    )
    root = elements(drawn(chart, 800, 400))
    marks = root.findall(f".//{SVG}path[@data-told]")
    places = [(float(m.get("data-x") or 0), float(m.get("data-y") or 0)) for m in marks]
    (x0, y0), (x1, y1), (x2, y2) = places
    lines = [e.get("d") or "" for e in root.findall(f"{SVG}path[@class='grid']")]
    assert [float(re.findall(r" ([\d.]+)H", d)[0]) for d in lines] == [y0, y2]
    assert x0 < x1 < x2
    assert y0 > y1 > y2
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.1)
    assert y1 == pytest.approx((y0 + y2) / 2, abs=0.1)


def test_small_charts_have_letters_and_no_names_beside_the_curves() -> None:
    view = curve_view("v", [curve("first", [0.2, 0.4]), curve("second", [0.3, 0.5])], Slots())
    assert view is not None
    small = elements(drawn(view.chart, 360, 330, letters=True))
    labels = [e.text for e in small.iter(f"{SVG}text") if "label" in (e.get("class") or "")]
    assert labels == ["A", "B"]


def test_coverage_and_accuracy_share_no_chart() -> None:
    with pytest.raises(TypeError, match="share no chart"):
        curve_view("v", [curve("a", [0.1, 0.2]), curve("b", [0.1, 0.2], kind=Coverage)], Slots())  # pyright: ignore[reportArgumentType]
    shown = curve_view("v", [curve("b", [0.1, 0.2], kind=Coverage)], Slots())
    assert shown is not None
    assert shown.chart.y.label.startswith("coverage")
    assert all(series.dashed for series in shown.chart.series)


def test_curves_that_are_not_drawn_are_told_and_in_the_numbers() -> None:
    view = curve_view("v", [curve(f"line{i}", [0.1, 0.2]) for i in range(15)], Slots())
    assert view is not None
    assert len(view.chart.series) == 12
    assert view.note.startswith("3 more curves")
    assert sum(len(row.entries) == 1 for row in view.data.rows) == 15


def test_a_line_has_one_colour_in_all_charts() -> None:
    slots = Slots()
    first = curve_view("a", [curve("x", [0.1, 0.2]), curve("y", [0.1, 0.2])], slots)
    second = curve_view("b", [curve("y", [0.1, 0.2]), curve("x", [0.1, 0.2])], slots)
    assert first is not None
    assert second is not None
    assert {s.name: s.slot for s in first.chart.series} == {
        s.name: s.slot for s in second.chart.series
    }


def test_the_frontier_joins_what_nothing_cheaper_beats() -> None:
    curves = [curve("x", [0.2, 0.6, 0.5], "calls"), curve("y", [0.1, 0.3, 0.7], "calls")]
    view = frontier_view("f", curves, Slots(), {})
    assert view is not None
    assert view.chart.steps == ((1.0, 0.2), (2.0, 0.6), (4.0, 0.7))
    strong = {(p.x, p.y) for s in view.chart.series for p in s.points if p.strong}
    assert strong == set(view.chart.steps)


def test_short_names_differ() -> None:
    lines = [
        "best_of(n={n}, scorer=prm())",
        "best_of(n={n}, process=prm())",
        "mcts(width={width})",
        "mcts()",
    ]
    names = short_names(lines)
    assert len(set(names.values())) == len(lines)


# ------------------------------------------------------------------------------------------ colours


def palettes() -> list[dict[str, str]]:
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    return [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in blocks]


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_colour_of_text_has_enough_contrast(scheme: int) -> None:
    held = palettes()[scheme]
    on_paper = ("ink", "soft", "link", "good", "bad", *(f"s{i}" for i in range(8)))
    weak = {name: contrast(held[name], held["paper"]) for name in on_paper}
    assert {name: ratio for name, ratio in weak.items() if ratio < 4.5} == {}
    assert contrast(held["ink"], held["raised"]) >= 4.5
    assert contrast(held["ink"], held["mark"]) >= 4.5
