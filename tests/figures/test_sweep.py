from __future__ import annotations

import csv
import json
import math
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from arco.errors import ArcoError
from arco.figures import sweep
from arco.figures.style import house_style
from arco.figures.sweep import draw_sweep

COLUMNS = "case,patient,class,dice,jaccard,asd_voxel,assd_voxel,hd95_voxel,asd_mm,assd_mm,hd95_mm"
VALUES = {"method.lambda1": [0.01, 0.1, 1.0], "method.lambda2": [1.0, 10.0]}
SCORES = [
    {"score": "dice", "label": "DSC[%]", "best": "high"},
    {"score": "assd_voxel", "label": "ASD[voxel]", "best": "low"},
]


def write_metrics(path, dice, assd, part):
    lines = [f"{COLUMNS},part"]
    for class_name in ("rv", "lv"):
        scores = f"{dice!r},{dice!r}" + f",{assd!r}" * 6
        lines.append(f"case1,patient1,{class_name},{scores},{part}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def make_report(tmp_path):
    """Settings of a figure of two sweeps around (0.1, 1), with Dice 0.8 less 0.1 a decade away."""

    def make(seeds=(0,), undefined=(), part="val"):
        points = []
        for index, (key, values) in enumerate(VALUES.items()):
            for value in values:
                decades = round(math.log10(value / (0.1, 1.0)[index]))
                name = f"lambda{index}_{value}" if decades else "centre"
                for seed in seeds:
                    path = tmp_path / "runs" / name / f"seed{seed}.csv"
                    assd = math.nan if (key, value) in undefined else 1.0 + abs(decades)
                    write_metrics(path, 0.8 - 0.1 * abs(decades) + 0.02 * seed, assd, part)
                    points.append(
                        {"sweep": index, "value": value, "seed": seed, "metrics": str(path)}
                    )
        return {
            "scale": "demo",
            "protocol": "default",
            "datasets": {"heart": {"title": "Heart", "source": "phantom", "classes": ["rv", "lv"]}},
            "seeds": list(seeds),
            "figure": {
                "title": "Weights",
                "caption": "What varies.",
                "kind": "sweep",
                "dataset": "heart",
                "labels": "1%",
                "part": part,
                "scores": list(SCORES),
                "sweeps": [
                    {"label": key[-7:], "recipe": "arco_sg", "key": key, "values": values}
                    for key, values in VALUES.items()
                ],
            },
            "points": points,
        }

    return make


@pytest.fixture
def drawn(monkeypatch):
    """The matplotlib figures that were saved."""
    figures = []
    monkeypatch.setattr(sweep, "save", lambda figure, path: (figures.append(figure), path.touch()))
    return figures


def rows_of(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_a_figure_is_written_as_picture_vectors_numbers_and_record(make_report, tmp_path):
    written = draw_sweep(make_report(), tmp_path / "figures" / "figure20.png", {"commit": "abc"})
    assert [path.suffix for path in written] == [".png", ".pdf", ".csv", ".json"]
    assert sorted(tmp_path.joinpath("figures").iterdir()) == sorted(written)
    assert written[0].read_bytes().startswith(b"\x89PNG")
    assert written[1].read_bytes().startswith(b"%PDF")
    record = json.loads(written[3].read_text())
    assert record["provenance"] == {"commit": "abc"}
    assert record["points"][0]["metrics"] == [make_report()["points"][0]["metrics"]]


def test_equal_runs_give_equal_bytes_in_another_process_too(make_report, tmp_path):
    report = make_report(seeds=(0, 1))
    report["figure"]["sweeps"].pop()  # one panel is enough, and soon drawn
    report["figure"]["scores"].pop()
    report["points"] = [point for point in report["points"] if point["sweep"] == 0]
    first = draw_sweep(report, tmp_path / "first" / "figure.png", {})
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(report))
    code = (
        "import json, sys; from pathlib import Path; from arco.figures.sweep import draw_sweep;"
        "draw_sweep(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), {})"
    )
    out = tmp_path / "second" / "figure.png"
    subprocess.run([sys.executable, "-c", code, str(settings), str(out)], check=True)
    for path in first:
        assert path.read_bytes() == (out.parent / path.name).read_bytes(), path.suffix


def test_the_csv_has_a_line_per_point_and_score(make_report, tmp_path, drawn):
    rows = rows_of(draw_sweep(make_report(seeds=(0, 1)), tmp_path / "figure.png", {})[2])
    assert [(row["key"][-7:], row["value"], row["score"]) for row in rows[:4]] == [
        ("lambda1", "0.01", "dice"), ("lambda1", "0.01", "assd_voxel"),
        ("lambda1", "0.1", "dice"), ("lambda1", "0.1", "assd_voxel"),
    ]  # fmt: skip
    assert len(rows) == 2 * (3 + 2)
    assert float(rows[2]["mean"]) == pytest.approx((0.80 + 0.82) / 2)
    assert float(rows[2]["std"]) == pytest.approx(0.02 / math.sqrt(2))
    assert (rows[2]["unit"], rows[2]["seeds"], rows[2]["cases"]) == ("fraction", "2", "1")


def test_the_setting_that_all_sweeps_share_is_marked(make_report, tmp_path, drawn):
    rows = rows_of(draw_sweep(make_report(), tmp_path / "figure.png", {})[2])
    shared = [(row["key"][-7:], row["value"]) for row in rows if row["shared_setting"] == "True"]
    assert set(shared) == {("lambda1", "0.1"), ("lambda2", "1.0")}


def test_panels_show_percent_over_a_logarithmic_axis(make_report, tmp_path, drawn):
    draw_sweep(make_report(), tmp_path / "figure.png", {})
    top_left, top_right, bottom_left, _ = drawn[0].axes
    assert top_left.get_xscale() == bottom_left.get_xscale() == "log"
    np.testing.assert_allclose(top_left.lines[0].get_xdata(), [0.01, 0.1, 1.0])
    np.testing.assert_allclose(top_left.lines[0].get_ydata(), [70, 80, 70])
    np.testing.assert_allclose(top_right.lines[0].get_ydata(), [80, 70])
    np.testing.assert_allclose(bottom_left.lines[0].get_ydata(), [2, 1, 2])
    assert [top_left.get_ylabel(), bottom_left.get_ylabel()] == ["DSC[%] ↑", "ASD[voxel] ↓"]
    assert bottom_left.get_xlabel() == "lambda1"


def test_values_are_drawn_in_rising_order_whatever_order_they_are_listed_in(
    make_report, tmp_path, drawn
):
    report = make_report()
    report["points"].reverse()
    draw_sweep(report, tmp_path / "figure.png", {})
    np.testing.assert_allclose(drawn[0].axes[0].lines[0].get_xdata(), [0.01, 0.1, 1.0])


def test_one_seed_has_no_band_and_several_have_one(make_report, tmp_path, drawn):
    draw_sweep(make_report(), tmp_path / "one.png", {})
    draw_sweep(make_report(seeds=(0, 1)), tmp_path / "two.png", {})
    one, two = drawn[0], drawn[2]
    assert not any(axes.collections for axes in one.axes)
    band = two.axes[0].collections[0].get_paths()[0].vertices
    at_centre = band[np.isclose(band[:, 0], 0.1), 1]
    assert at_centre.min() == pytest.approx(81 - 2 / math.sqrt(2))
    assert at_centre.max() == pytest.approx(81 + 2 / math.sqrt(2))


def test_an_undefined_score_is_a_gap_and_is_counted(make_report, tmp_path, drawn):
    report = make_report(undefined={("method.lambda2", 10.0)})
    written = draw_sweep(report, tmp_path / "figure.png", {})
    assert math.isnan(drawn[0].axes[3].lines[0].get_ydata()[1])
    caption = json.loads(written[3].read_text())["caption"]
    # 4 runs (the shared one once) x 2 classes
    assert "ASD[voxel]: 2 of 8 scores are undefined" in caption
    assert "DSC[%]:" not in caption


def test_the_caption_in_the_picture_says_what_was_measured_and_on_what(
    make_report, tmp_path, drawn
):
    draw_sweep(make_report(seeds=(0, 1)), tmp_path / "figure.png", {})
    text = " ".join(drawn[0].get_supxlabel().split())
    assert text == (
        "What varies. Mean over cases and classes of the validation part, 1% labeled. Band: one "
        "standard deviation over seeds. Ringed: the setting that all panels share. Data: "
        "synthetic phantoms in the layout of Heart, not Heart itself. Scale: demo (shortened "
        "training, not comparable with the paper). Protocol: default. Seeds: 0, 1."
    )


def test_nothing_is_cut_off_at_the_edges(make_report, tmp_path, drawn):
    draw_sweep(make_report(), tmp_path / "figure.png", {})
    with house_style():
        canvas = FigureCanvasAgg(drawn[0])
        canvas.draw()
        tight = drawn[0].get_tightbbox(canvas.get_renderer())
    width, height = drawn[0].get_size_inches()
    assert (tight.x0 >= 0, tight.y0 >= 0) == (True, True)
    assert (tight.x1 <= width, tight.y1 <= height) == (True, True)


def test_scores_of_another_part_are_refused_and_nothing_is_written(make_report, tmp_path):
    report = make_report(part="test")
    report["figure"]["part"] = "val"
    with pytest.raises(ArcoError, match="part is 'test' where 'val' is wanted"):
        draw_sweep(report, tmp_path / "figures" / "figure.png", {})
    assert not (tmp_path / "figures").exists()


def test_a_failing_last_write_leaves_nothing_behind(make_report, tmp_path, monkeypatch, drawn):
    def fail(*_):
        raise RuntimeError("no ink")

    monkeypatch.setattr(sweep, "_json", fail)
    with pytest.raises(RuntimeError, match="no ink"):
        draw_sweep(make_report(), tmp_path / "figures" / "figure.png", {})
    assert not list((tmp_path / "figures").iterdir())


def test_the_style_ends_with_its_block():
    before = dict(mpl.rcParams)
    with house_style():
        assert mpl.rcParams["axes.grid"]
    assert dict(mpl.rcParams) == before
