from __future__ import annotations

import io
import math
from itertools import pairwise

import pytest
from rich.console import Console

from cogitate.apps.render import Plot, PlotPoint, Series, accuracy_plot
from cogitate.lab import accuracy_curve, open_pool, packaged_pools

XS = (1, 2, 4, 8, 16, 32)


def rising(name: str = "rise", scale: float = 1.0, spread: float = 0.05) -> Series:
    return Series(
        name,
        tuple(
            PlotPoint(x, scale * i / 5, scale * i / 5 - spread, scale * i / 5 + spread)
            for i, x in enumerate(XS)
        ),
    )


def printed(plot: Plot, encoding: str, width: int = 80) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    Console(file=file, width=width, force_terminal=False).print(plot)
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_it_fits_and_survives_every_encoding(encoding: str, width: int) -> None:
    plot = Plot(
        tuple(rising(f"method {i} – ünï", 1 - i / 10) for i in range(6)),
        title="Accuracy – N",
        x_label="samples",
        y_label="accuracy",
    )
    text = printed(plot, encoding, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= min(width, 80)
    assert len(lines) >= 16 + 5
    if encoding != "utf-8":
        assert text.isascii()
    else:
        assert any(0x2800 < ord(c) < 0x2900 for c in text)


def marker_rows(lines: list[str], marker: str) -> list[tuple[int, int]]:
    found = [(c, r) for r, line in enumerate(lines) for c, x in enumerate(line) if x == marker]
    return sorted(found)


def test_markers_stand_where_the_values_are() -> None:
    lines = Plot((rising(),), height=21).lines(ascii_only=True)
    places = marker_rows(lines[:21], "o")
    assert len(places) == 6
    columns = [c for c, _ in places]
    gaps = {b - a for a, b in pairwise(columns)}
    assert max(gaps) - min(gaps) <= 1  # a log axis spaces powers of two evenly
    rows = [r for _, r in places]
    assert rows == sorted(rows, reverse=True)
    label = {line.split("+")[0].strip(): r for r, line in enumerate(lines[:21]) if "+" in line}
    assert label["0%"] == rows[0]
    assert label["100%"] == rows[-1]


def test_a_linear_axis_is_linear() -> None:
    series = Series("s", tuple(PlotPoint(x, 0.5) for x in (0, 10, 40)))
    places = marker_rows(Plot((series,), log_x=False).lines(ascii_only=True)[:16], "o")
    (a, _), (b, _), (c, _) = places
    assert abs((c - a) - 4 * (b - a)) <= 4


def test_the_band_covers_its_interval_and_no_more() -> None:
    series = Series("s", tuple(PlotPoint(x, 0.5, 0.25, 0.75) for x in XS))
    lines = Plot((series,), height=21, percent=False, bands=("s",)).lines(ascii_only=True)[:21]
    label = {line.split("+")[0].strip(): r for r, line in enumerate(lines) if "+" in line}
    unit = (label["0"] - label["0.6"]) / 0.6
    banded = [r for r, line in enumerate(lines) if ":" in line]
    assert abs((max(banded) - min(banded)) - 0.5 * unit) <= 1
    assert abs((label["0"] - max(banded)) - 0.25 * unit) <= 1


def test_many_series_get_error_bars_side_by_side() -> None:
    lines = Plot(tuple(rising(f"s{i}", 0.9, 0.2) for i in range(3)), height=20).lines(
        ascii_only=True
    )
    assert not any(":" in line for line in lines)
    body = lines[5][7:]
    assert body.count("|") >= 3


def test_bars_vanish_without_intervals() -> None:
    series = Series("s", tuple(PlotPoint(x, 0.4) for x in XS))
    lines = Plot((series,)).lines(ascii_only=True)[:16]
    assert all("|" not in line[7:] and ":" not in line for line in lines)


def test_legend_and_labels_name_everything() -> None:
    lines = Plot((rising("majority"), rising("best")), x_label="samples").lines(ascii_only=True)
    assert lines[-1] == "  o majority  x best"
    assert lines[-2].strip() == "samples"
    assert lines[-3].split() == ["1", "2", "4", "8", "16", "32"]


def test_odd_values_do_not_break_it() -> None:
    nan, inf = math.nan, math.inf
    odd = Series(
        "odd",
        (PlotPoint(0, 0.1), PlotPoint(1, nan), PlotPoint(2, inf), PlotPoint(4, 0.3, nan, 0.4)),
    )
    assert any("o" in line for line in Plot((odd,)).lines(ascii_only=True)[:16])
    assert Plot(()).lines() == ["(nothing to plot)"]
    assert Plot((Series("empty", ()),)).lines() == ["(nothing to plot)"]
    flat = Series("zero", (PlotPoint(1, 0.0), PlotPoint(2, 0.0)))
    assert len(Plot((flat,)).lines()) > 10
    one = Series("one", (PlotPoint(5, 1.0, 0.9, 1.0),))
    assert len(Plot((one,)).lines()) > 10
    negative = Series("negative", (PlotPoint(1, -3.0), PlotPoint(2, 5.0)))
    assert len(Plot((negative,), percent=False).lines()) > 10
    huge = Series("huge", (PlotPoint(1, 1e300), PlotPoint(1e9, 2e300)))
    assert len(Plot((huge,), percent=False).lines()) > 10


def test_names_are_cleaned() -> None:
    text = "\n".join(Plot((rising("\x1b[31mevil\x1b[0m\nname"),), title="\x1b]0;t\x07T").lines())
    assert "\x1b" not in text
    assert "evil name" in text
    assert text.startswith("T\n")


def test_the_curve_of_the_packaged_pool_is_drawn() -> None:
    curve = accuracy_curve(open_pool(packaged_pools()[0]))
    plot = accuracy_plot(curve)
    assert [s.name for s in plot.series] == [
        curve.line(m).label for m in ("single", "majority", "best_mean", "coverage")
    ]
    assert [p.y for p in plot.series[1].points] == [p.value for p in curve.line("majority").points]
    lines = plot.lines(ascii_only=True)
    assert max(map(len, lines)) <= 80
    assert ["1", "2", "4", "8", "16", "32"] in [line.split() for line in lines]
