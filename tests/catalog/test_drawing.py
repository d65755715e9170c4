"""Drawings of fabrics: a panel for each torus, clique or switch, and what it says."""

import json

import jax
import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_hex

from experiments.draw_fabrics import main
from fabricmodel import FabricModelError, list_fabrics, load_fabric, plots
from fabricmodel.catalog.loader import load_entry
from fabricmodel.plots.fabrics import DARK, MEMBER


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def boxes(figure, colour):
    patches = figure.axes[0].patches
    return [p for p in patches if to_hex(p.get_facecolor()).upper() == colour]


@pytest.mark.parametrize("name", list_fabrics())
def test_every_fabric_can_be_drawn(name):
    fabric = load_fabric(name)
    figure = plots.fabric_diagram(fabric)
    said = " ".join(texts(figure))
    used = [level for level in fabric.levels if level.members > 1] or fabric.levels[:1]
    for level in used:
        assert level.name in said
        assert f"{level.bandwidth_Bps / 1e9:.4g}"[:4].rstrip(".") in said.replace(
            ",", ""
        )


def test_rings_of_one_domain_are_one_torus():
    figure = plots.fabric_diagram(load_fabric("trn2-ultracluster", chips=65_536))
    assert {"chip", "x, y", "z", "efa"} <= set(texts(figure))
    assert "4 x 4 torus" in texts(figure)
    assert "64 links a unit, 19.3 GB/s" in texts(figure)
    assert "3 tiers of 64 ports" in texts(figure)
    assert len(boxes(figure, DARK)) == 4  # one in each panel
    # 4 of the chip, 16, 4, and 5 of 1,024 instances; one of each is dark
    assert len(boxes(figure, MEMBER)) == 4 + 16 + 4 + 5 - 4


def test_a_side_that_does_not_close_is_no_torus():
    figure = plots.fabric_diagram(load_fabric("tpu-v5e-pod", chips=128))
    assert "8 x 16, y closes" in texts(figure)
    figure = plots.fabric_diagram(load_fabric("tpu-v5e-pod", chips=64))
    assert "8 x 8 mesh" in texts(figure)


def test_a_twist_is_said():
    """Sides of k and 2k are twisted on TPU v5p, a cube is not, and none on v7x."""
    for name, chips, words in (
        ("tpu-v5p-pod", 128, "4 x 4 x 8 twisted torus"),
        ("tpu-v5p-pod", 64, "4 x 4 x 4 torus"),
        ("tpu-v7x-pod", 128, "4 x 4 x 8 torus"),
    ):
        said = texts(plots.fabric_diagram(load_fabric(name, chips=chips)))
        assert words in said


def test_files_and_refusals(tmp_path):
    figure = plots.fabric_diagram(load_fabric("h100-roce", chips=6144), "Meta")
    png, svg = plots.save(figure, tmp_path, "meta")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "Meta" in svg.read_text(encoding="utf-8") or svg.stat().st_size > 1000
    batch = jax.tree.map(lambda x: np.full(3, x), load_fabric("hgx-h100"))
    with pytest.raises(FabricModelError, match="array of members"):
        plots.fabric_diagram(batch)


def test_experiment(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["hgx-h100", "trn1-instance", "--chips", "8", "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {
        "report.md", "figures.csv", "figures.json", "hgx-h100.png", "hgx-h100.svg",
        "trn1-instance.png", "trn1-instance.svg",
    }  # fmt: skip
    rows = json.loads((out / "figures.json").read_text())["rows"]
    assert len(rows) == len(pl.read_csv(out / "figures.csv")) > 10
    assert "NCCL" in (out / "report.md").read_text()
    capsys.readouterr()
    assert main(["hgx-h100", "--chips", "9", "--out", str(tmp_path / "no")]) == 2
    assert "Ask for 8 or 16" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("name", ["fugaku", "h100-infiniband-nvls", "trn1n-instance"])
def test_a_long_title_stays_on_the_page(name):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    title = f"{load_entry(name).title} (5,120 chips)"
    figure = plots.fabric_diagram(load_fabric(name), title)
    FigureCanvasAgg(figure).draw()
    (head,) = [
        text
        for text in figure.axes[0].texts
        if text.get_text().replace("\n", " ") == title
    ]
    box = head.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height
