from __future__ import annotations

import re

import pytest

from arco import cli, files, params
from arco.errors import ArcoError
from arco.tables.publish import publish

PAGE = "# Results\n\n<!-- small -->\nold\n<!-- /small -->\n\nThe end.\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "tables" / "small.md"
    files.write_text(path, "**Small**\n\n| a |\n")
    files.write_json(path.with_suffix(".json"), {"settings": {"scale": "demo"}})
    return path


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    files.write_text(path, PAGE)
    return path


def test_a_table_replaces_what_stands_between_its_markers(table, page):
    publish("small", table, page)
    assert files.read_text(page) == (
        "# Results\n\n<!-- small -->\n\n**Small**\n\n| a |\n\n<!-- /small -->\n\nThe end.\n"
    )
    before = page.read_bytes()
    publish("small", table, page)
    assert page.read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        "no marker",
        "<!-- small -->",
        "<!-- /small --> <!-- small -->",
        PAGE + PAGE,
        PAGE.replace("small", "smaller"),
    ],
)
def test_a_page_without_one_pair_of_markers_is_refused_and_stays(table, page, text):
    files.write_text(page, text)
    with pytest.raises(ArcoError, match=r"page\.md needs one line <!-- small -->") as caught:
        publish("small", table, page)
    assert "\n" not in str(caught.value)
    assert files.read_text(page) == text


def test_a_table_that_was_not_made_is_told_with_its_command(table, page):
    table.unlink()
    with pytest.raises(ArcoError, match=r"small\.md is missing; make it first: snakemake .*\.csv"):
        publish("small", table, page)


def test_a_missing_page_is_told(table, tmp_path):
    with pytest.raises(ArcoError, match=r"absent\.md is missing"):
        publish("small", table, tmp_path / "absent.md")


def test_a_table_of_smoke_scale_is_refused(table, page):
    files.write_json(table.with_suffix(".json"), {"settings": {"scale": "smoke"}})
    with pytest.raises(ArcoError, match="smoke scale, where nothing is learned"):
        publish("small", table, page)
    assert files.read_text(page) == PAGE


def test_the_publish_command_finds_the_table_by_its_number(page, tmp_path, repository, monkeypatch):
    folder = tmp_path / "results" / "tables"
    files.write_text(folder / "table8.md", "**Table 8**\n")
    files.write_json(folder / "table8.json", {"settings": {"scale": "demo"}})
    files.write_text(page, "<!-- table8 -->\n<!-- /table8 -->\n")
    monkeypatch.chdir(tmp_path)
    chosen = ["--params", str(repository / "params.yaml"), "--into", str(page)]
    assert cli.main(["publish", "8", *chosen]) == 0
    assert "\n\n**Table 8**\n\n" in files.read_text(page)


def test_the_variances_of_a_cell_are_published_by_their_file(
    page, tmp_path, repository, monkeypatch
):
    name = "arco_sg_snapshots_acdc_10pct_seed0"
    folder = tmp_path / "results/variance/demo"
    files.write_text(folder / f"{name}.md", "**Variance**\n")
    files.write_json(folder / f"{name}.json", {"settings": {"scale": "demo"}})
    files.write_text(page, f"<!-- {name} -->\n<!-- /{name} -->\n")
    monkeypatch.chdir(tmp_path)
    chosen = ["--params", str(repository / "params.yaml"), "--into", str(page)]
    assert cli.main(["publish", f"results/variance/demo/{name}.csv", *chosen]) == 0
    assert "\n\n**Variance**\n\n" in files.read_text(page)


def made_by_make(variable: str, repository) -> list[str]:
    makefile = files.read_text(repository / "Makefile")
    return re.search(rf"^{variable} \?= (.*)$", makefile, re.MULTILINE)[1].split()


def test_every_comparison_is_made_by_make_results_and_has_its_place(repository):
    comparisons = set(params.load(repository / "params.yaml").sections.comparisons)
    assert set(made_by_make("COMPARISONS", repository)) == comparisons
    variances = {name.rpartition("/")[-1] for name in made_by_make("VARIANCES", repository)}
    results = files.read_text(repository / "docs/results.md")
    shown = set(re.findall(r"^<!-- ([\w.]+) -->$", results, re.MULTILINE))
    assert shown == comparisons | variances
