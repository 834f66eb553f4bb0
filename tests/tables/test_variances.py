from __future__ import annotations

import csv
import io
import json
import math

import pytest

from arco.contrast_variance.estimates import Estimate
from arco.contrast_variance.measure import BOTH, QUERIES, Key, Measured, Row
from arco.tables.variances import COLUMNS, write_variances

SETTINGS = {
    "scale": "demo",
    "protocol": "default",
    "datasets": {"heart": {"title": "Heart", "source": "phantom", "classes": ["lv"]}},
    "seeds": [3],
    "dataset": "heart",
    "labels": "10%",
    "recipe": "arco_sg_snapshots",
    "variance": {"batches": 4, "query_draws": 2000, "training_draws": 50, "block": 10, "seed": 0},
}


def rows(step: int, drawn: str, quantity: str, sg: float, sag: float) -> list[Row]:
    """Of one quantity: naive variance 2e-5, ratios as given; the theory always says 0.25."""
    theory = drawn == QUERIES
    scales = {"ns": 1.0, "sg": sg, "sag": 0.0 if math.isnan(sag) else sag}
    return [
        Row(
            step,
            Key(quantity, drawn, sampler),
            Measured(Estimate(2e-5 * scales[sampler], 1e-6), 5e-6 if theory else None),
            Estimate(ratio, 0.0 if sampler == "ns" else 0.0123),
            0.25 if theory else None,
        )
        for sampler, ratio in (("ns", 1.0), ("sg", sg), ("sag", sag))
    ]


@pytest.fixture
def written(tmp_path):
    measured = [
        *rows(40, QUERIES, "loss", 0.3141, 1.5),
        *rows(40, BOTH, "weights gradient", 0.5, 0.75),
        *rows(400, QUERIES, "loss", 0.2, math.nan),
    ]
    paths = write_variances(measured, SETTINGS, tmp_path / "v.csv", {"commit": "abc"})
    return {path.suffix: path.read_text(encoding="utf-8") for path in paths}


def test_the_csv_has_a_line_per_step_quantity_draw_and_sampler(written):
    lines = list(csv.DictReader(io.StringIO(written[".csv"])))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) == 9
    assert lines[1] == {
        "dataset": "heart", "labels": "10%", "recipe": "arco_sg_snapshots", "seed": "3",
        "step": "40", "quantity": "loss", "drawn": "queries", "sampler": "sg",
        "variance": repr(2e-5 * 0.3141), "variance_error": "1e-06",
        "ratio": "0.3141", "ratio_error": "0.0123",
        "predicted_variance": "5e-06", "predicted_ratio": "0.25",
    }  # fmt: skip
    assert (lines[4]["drawn"], lines[4]["predicted_variance"]) == ("queries and negatives", "")
    assert (lines[8]["sampler"], lines[8]["ratio"], lines[8]["predicted_ratio"]) == (
        "sag", "nan", "0.25",
    )  # fmt: skip


def test_the_page_sets_measured_beside_predicted_and_names_each_step_once(written):
    lines = written[".md"].splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert table == [
        "| Step | Drawn anew | Variance of | NS | SG / NS | predicted | SAG / NS | predicted |",
        "| :-- | :-- | :-- | --: | --: | --: | --: | --: |",
        "| 40 | queries | loss | 2.00e-05 | 0.314 ± 0.012 | 0.250 | 1.500 ± 0.012 | 0.250 |",
        "|  | queries and negatives | weights gradient | 2.00e-05 | 0.500 ± 0.012 | – "
        "| 0.750 ± 0.012 | – |",
        "| 400 | queries | loss | 2.00e-05 | 0.200 ± 0.012 | 0.250 | – | 0.250 |",
    ]
    assert lines[0] == "**Variance by sampler: Heart, 10% Labeled, arco\\_sg\\_snapshots**"
    page = written[".md"]
    for told in ("synthetic phantoms", "Scale: demo", "Seed: 3", "4 training batches", "2,000",
                 "inside a logarithm"):  # fmt: skip
        assert told in page


def test_the_json_says_where_every_number_is_from(written):
    record = json.loads(written[".json"])
    assert record["settings"] == SETTINGS
    assert record["provenance"] == {"commit": "abc"}
    assert len(record["cells"]) == 9
    assert record["cells"][8]["ratio"] is None
    assert record["cells"][4]["predicted_ratio"] is None
