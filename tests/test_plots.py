"""Figures draw from small tables, name their units, and refuse what can't be drawn."""

import math
import subprocess
import sys
from typing import Any

import polars as pl
import pytest

from fabricmodel import FabricModelError, plots
from fabricmodel.plots import ticks

KIB, MIB, GIB = 2.0**10, 2.0**20, 2.0**30
PNG = b"\x89PNG"


def scaling_rows(fabrics=2, collectives=2, sizes=(64 * KIB, GIB), chips=(16, 1024)):
    return pl.DataFrame(
        {
            "fabric": f"fabric {fabric}",
            "collective": f"collective_{collective}",
            "size_bytes": size,
            "chips": count,
            "median_s": (time := 5e-6 * count + size / 1e11),
            "lo_s": time / 1.3,
            "hi_s": time * 1.3,
            "busbw_Bps": size / time,
            "busbw_lo_Bps": size / time / 1.3,
            "busbw_hi_Bps": size / time * 1.3,
        }
        for fabric in range(fabrics)
        for collective in range(collectives)
        for size in sizes
        for count in chips
    )


def share_rows(terms=3, fabrics=1, chips=(16, 1024, 131_072)):
    return pl.DataFrame(
        {
            "fabric": f"fabric {fabric}",
            "collective": "all_reduce",
            "size_bytes": MIB,
            "chips": count,
            "term": f"term {term}",
            "share": 2 * (term + 1) / (terms * (terms + 1)),
        }
        for fabric in range(fabrics)
        for count in chips
        for term in range(terms)
    )


def fit_rows(series=2, ranks=(8, 64), sizes=(KIB, MIB, GIB)):
    return pl.DataFrame(
        {
            "series": f"series {name}",
            "collective": "all_reduce",
            "ranks": count,
            "size_bytes": size,
            "measured_s": 1.1 * (time := 1e-6 * count + size / 1e11),
            "predicted_s": time,
            "lo_s": time / 1.3,
            "hi_s": time * 1.3,
            "held_out": count == max(ranks),
        }
        for name in range(series)
        for count in ranks
        for size in sizes
    )


def reliability():
    return plots.reliability([0.5, 0.9], [0.4, 0.92], [30, 50])


TABLES = [
    (plots.scaling, scaling_rows()),
    (plots.shares, share_rows()),
    (plots.fit_quality, fit_rows()),
]
FIGURES = {
    "time": lambda: plots.scaling(scaling_rows(), data_ends=64),
    "bandwidth": lambda: plots.scaling(scaling_rows(), "busbw"),
    "shares": lambda: plots.shares(share_rows()),
    "fit": lambda: plots.fit_quality(fit_rows()),
    "reliability": reliability,
}
AXES = {
    "time": ({"chips (count)"}, {"time (s)"}),
    "bandwidth": ({"chips (count)"}, {"bus bandwidth (GB/s)"}),
    "shares": ({"chips (count)"}, {"share of time (%)"}),
    "fit": ({"size (bytes)"}, {"time (s)", "residual (%)"}),
    "reliability": (
        {"nominal coverage (%)"},
        {"observed coverage (%)", "cases (count)"},
    ),
}


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("name", FIGURES)
def test_axes_carry_units(name):
    figure = FIGURES[name]()
    x = {axes.get_xlabel() for axes in figure.axes} - {""}
    y = {axes.get_ylabel() for axes in figure.axes} - {""}
    assert (x, y) == AXES[name]


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_written_as_png_and_svg(name, tmp_path):
    png, svg = plots.save(FIGURES[name](), tmp_path / "new", name)
    assert png.read_bytes().startswith(PNG)
    assert "<svg" in svg.read_text(encoding="utf-8")
    assert (png.name, svg.name) == (f"{name}.png", f"{name}.svg")


@pytest.mark.parametrize("name", ["", "a/b", "/"])
def test_a_name_that_is_no_file_is_refused(name, tmp_path):
    with pytest.raises(FabricModelError, match="name"):
        plots.save(reliability(), tmp_path, name)


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    first = plots.save(reliability(), tmp_path / "a", "same")
    second = plots.save(reliability(), tmp_path / "b", "same")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(("draw", "rows"), TABLES)
def test_a_table_without_rows_is_refused(draw, rows):
    with pytest.raises(FabricModelError, match="no rows"):
        draw(rows.clear())


@pytest.mark.parametrize(
    ("draw", "rows", "column"),
    [
        (draw, rows, column)
        for draw, rows in TABLES
        for column in rows.columns
        if "busbw" not in column
    ],
)
def test_a_missing_column_is_named(draw, rows, column):
    with pytest.raises(FabricModelError, match=f"no column {column}"):
        draw(rows.drop(column))


def test_bandwidths_need_no_times_and_times_no_bandwidths():
    rows = scaling_rows()
    plots.scaling(rows.select(pl.exclude("^.*_s$")), "busbw")
    plots.scaling(rows.select(pl.exclude("^busbw.*$")))
    with pytest.raises(FabricModelError, match="no column busbw_Bps"):
        plots.scaling(rows.drop("busbw_Bps"), "busbw")


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, None])
def test_a_time_that_no_log_axis_takes_is_refused(value):
    rows = scaling_rows().with_columns(lo_s=pl.lit(value, pl.Float64))
    with pytest.raises(FabricModelError, match="column lo_s holds"):
        plots.scaling(rows)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.scaling(scaling_rows(fabrics=7)), "7 values of fabric"),
        (lambda: plots.scaling(scaling_rows(collectives=5)), "5 values of coll"),
        (lambda: plots.scaling(scaling_rows(sizes=(1, 2, 3, 4))), "4 values of size"),
        (lambda: plots.scaling(scaling_rows(), "speed"), "no value to draw"),  # type: ignore
        (lambda: plots.shares(share_rows(fabrics=5)), "5 values of fabric and size"),
        (lambda: plots.fit_quality(fit_rows(series=13)), "13 values of series"),
        (lambda: plots.fit_quality(fit_rows(ranks=range(1, 12))), "values of ranks"),
    ],
)
def test_more_than_stays_readable_is_refused(draw, message):
    with pytest.raises(FabricModelError, match=message):
        draw()


def test_columns_of_the_wrong_kind_are_refused():
    words = scaling_rows().with_columns(chips=pl.lit("many"))
    with pytest.raises(FabricModelError, match="chips holds String"):
        plots.scaling(words)
    numbers = fit_rows().with_columns(held_out=pl.lit(1.5))
    with pytest.raises(FabricModelError, match="held_out holds Float64"):
        plots.fit_quality(numbers)
    unnamed = share_rows().with_columns(term=pl.lit(None, pl.String))
    with pytest.raises(FabricModelError, match="term holds None"):
        plots.shares(unnamed)


def test_scaling_marks_where_data_end_even_beyond_the_rows():
    figure = plots.scaling(scaling_rows(), data_ends=4096)
    assert "data end (4,096 chips)" in legend(figure)
    low, high = figure.axes[0].get_xlim()
    assert low < 16 and high > 4096
    assert "data end" not in " ".join(legend(plots.scaling(scaling_rows())))


def test_scaling_has_a_panel_for_each_case_and_a_line_for_each_fabric():
    figure = plots.scaling(scaling_rows(fabrics=3, collectives=2))
    assert [axes.get_title() for axes in figure.axes] == [
        f"collective_{collective}, {size}"
        for size in ("64 KiB", "1 GiB")
        for collective in (0, 1)
    ]
    assert all(len(axes.lines) == 3 for axes in figure.axes)
    median = scaling_rows(1, 1)["median_s"].to_list()[:2]
    first: Any = figure.axes[0].lines[0]
    assert list(first.get_ydata()) == median


def test_a_panel_without_rows_says_so():
    rows = scaling_rows().filter(
        (pl.col("collective") == "collective_0") | (pl.col("size_bytes") < MIB)
    )
    figure = plots.scaling(rows, data_ends=64)
    assert [text.get_text() for text in figure.axes[3].texts] == ["no rows"]


def test_chips_are_written_as_powers_of_four_and_the_far_end():
    rows = scaling_rows(1, 1, (MIB,), (16, 1024, 131_072))
    labels = tick_labels(plots.scaling(rows).axes[0].xaxis)
    assert labels == ["16", "64", "256", "1k", "4k", "16k", "64k", "131k"]


@pytest.mark.parametrize("count", [1, 7, 16, 100_000, 131_072])
def test_one_number_of_chips_draws(count, tmp_path):
    plots.save(plots.scaling(scaling_rows(chips=(count,))), tmp_path, "scaling")
    plots.save(plots.shares(share_rows(chips=(count,))), tmp_path, "shares")


def test_the_smallest_terms_are_merged():
    assert legend(plots.shares(share_rows(terms=10)))[-1] == "term 9"
    names = legend(plots.shares(share_rows(terms=14)))
    assert len(names) == 10
    assert names[0] == "other" and names[-1] == "term 13"


def test_shares_stack_to_the_whole():
    figure = plots.shares(share_rows(terms=14))
    tops = [
        area.get_paths()[0].get_extents().ymax for area in figure.axes[0].collections
    ]
    assert tops == sorted(tops)
    assert tops[-1] == pytest.approx(100)


def test_shares_of_more_than_the_whole_are_refused():
    rows = share_rows().with_columns(share=pl.lit(0.5))
    with pytest.raises(FabricModelError, match=r"add up to 1\.5"):
        plots.shares(rows)
    with pytest.raises(FabricModelError, match="add up to 6"):
        plots.shares(rows.with_columns(share=pl.lit(2.0)))


def test_held_out_points_are_hollow_and_residuals_in_percent():
    figure = plots.fit_quality(fit_rows(series=1))
    lines: list[Any] = list(figure.axes[1].lines)
    points = [line for line in lines if line.get_marker() in "os"]
    drawn = {
        (line.get_marker(), line.get_markerfacecolor() == "white"): line.get_ydata()
        for line in points
        if len(line.get_ydata())
    }
    assert set(drawn) == {("o", False), ("s", True)}
    assert all(y == pytest.approx(10) for ys in drawn.values() for y in ys)


@pytest.mark.parametrize("panels", [1, 4, 5])
def test_each_series_has_its_pair_of_panels(panels, tmp_path):
    figure = plots.fit_quality(fit_rows(series=panels))
    assert len(figure.axes) == 2 * panels
    plots.save(figure, tmp_path, "fit")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([], [], []), "no rows"),
        (([0.5], [0.5, 0.6], [3]), "shapes"),
        (([0.5], [1.5], [3]), r"observed holds 1\.5"),
        (([0.5], [math.nan], [3]), "observed holds nan"),
        (([0.5], [0.5], [0]), r"counts holds 0\.0"),
    ],
)
def test_a_calibration_that_makes_no_sense_is_refused(arrays, message):
    with pytest.raises(FabricModelError, match=message):
        plots.reliability(*arrays)


def test_wilson_bars_hold_the_share_and_narrow_with_the_count():
    figure = plots.reliability([0.5, 0.9], [0.5, 1.0], [10, 1000])
    bars: Any = figure.axes[0].collections[0].get_paths()
    (low, high), (least, most) = (sorted(bar.vertices[:, 1]) for bar in bars)
    assert low + high == pytest.approx(100)
    assert low == pytest.approx(26.93, abs=0.01)  # Wilson, 5 of 10, z = 1.6449
    assert most == pytest.approx(100) and least > 99


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (9e-6, 4e-5, ["10 us", "20 us", "30 us"]),
        (1e-5, 2e-4, ["10 us", "20 us", "50 us", "100 us", "200 us"]),
        (5e-6, 1.0, ["10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s"]),
        (1e-6, 1.0, ["1 us", "100 us", "10 ms", "1 s"]),
    ],
)
def test_times_are_written_with_their_units(low, high, expected):
    rows = scaling_rows(1, 1, (MIB,)).with_columns(
        median_s=pl.lit(low), lo_s=pl.lit(low), hi_s=pl.lit(high)
    )
    assert tick_labels(plots.scaling(rows).axes[0].yaxis) == expected


def test_ticks_thin_out_as_panels_narrow():
    figure = plots.scaling(scaling_rows(1, 1, (MIB,)))
    counts = []
    for inches in (6.0, 2.0, 1.0):
        ticks.size_axis(figure.axes[0], (KIB, 4 * GIB), inches)
        counts.append(len(tick_labels(figure.axes[0].xaxis)))
    assert counts == sorted(counts, reverse=True) and counts[-1] == 3


def test_drawing_leaves_matplotlib_alone():
    script = (
        "import sys, fabricmodel.plots as plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plots.reliability([0.5], [0.5], [3])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_matplotlib_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(FabricModelError, match=r"fabricmodel\[experiments\]"):
        reliability()


def test_a_default_that_beats_the_best_known_one_is_not_cut_off():
    rows = pl.DataFrame(
        {
            "collective": "all_reduce",
            "size_bytes": [KIB, MIB],
            "chosen_over_best": [1.0, 1.1],
            "default_over_best": [0.4, None],
        }
    )
    figure = plots.regret(rows)
    low, high = figure.axes[0].get_ylim()
    assert low < 0.4 and high > 1.1
    assert "0.5" in tick_labels(figure.axes[0].yaxis)


def test_a_term_that_shortens_the_time_hangs_below_zero():
    rows = share_rows(2).with_columns(
        share=pl.when(term="term 0").then(-0.25).otherwise(1.25)
    )
    low, high = plots.shares(rows).axes[0].get_ylim()
    assert low <= -25 and high >= 125
    assert plots.shares(share_rows(2)).axes[0].get_ylim() == (0, 100)
    with pytest.raises(FabricModelError, match="share holds nan"):
        plots.shares(rows.with_columns(share=pl.lit(math.nan)))
