"""README and docs/ are true: each command is one, tables fit the code, examples work."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpc_xfer.config import recipes
from hpc_xfer.config.site import RelayPlace, Site, Slurm
from hpc_xfer.config.yaml_document import load_yaml
from hpc_xfer.store.retry_policy import RULES
from tests import pages
from tests.conftest import ROOT


@pytest.mark.parametrize("page", pages.PAGES)
def test_every_command_of_a_page_is_understood_by_its_own_parser(page: str) -> None:
    wrong = {
        " ".join(words): complaint
        for line in pages.commands(page)
        for words in pages.simple_commands(line)
        if (complaint := pages.complaint(words)) is not None
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("python -m hpc_xfer.launch grids/demo/demo.yaml --dry-runs", "unrecognized arguments"),
        ("python -m hpc_xfer.lunch grids/demo/demo.yaml", "no module hpc_xfer.lunch"),
        ("cd x && make tea", "no target tea"),
        ("pip install -r wants.txt", "no file wants.txt"),
        ("frobnicate x", "frobnicate is no program that we know"),
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str, complaint: str) -> None:
    found = [pages.complaint(words) for words in pages.simple_commands(line)]
    assert complaint in str(found[-1])


def rows_of(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    below = re.split(rf"^## {heading}$", pages.text_of(page), flags=re.MULTILINE)[1]
    table = re.findall(r"^\|.*\|$", below.split("\n## ")[0], flags=re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[2:]]


@pytest.mark.parametrize(
    ("heading", "model"), [("Where data lies", Site), ("slurm", Slurm), ("relay", RelayPlace)]
)
def test_the_page_of_the_site_file_has_each_key_and_its_default(
    heading: str, model: type[Any]
) -> None:
    rows = rows_of("docs/site.md", heading)
    fields = model.model_fields
    assert [row[0].strip("`") for row in rows] == list(fields)
    for name, default, meaning in rows:
        assert meaning
        if default != "see below":
            known = json.loads(json.dumps(fields[name.strip("`")].default))
            assert yaml.safe_load(default.strip("`")) == known, name


def test_the_page_of_failures_has_each_class_of_failure() -> None:
    named = [row[0].strip("`") for row in rows_of("docs/failures.md", "Classes of failure")]
    assert named == list(RULES)


def test_the_readme_names_the_nine_data_sets_with_their_sizes() -> None:
    from hpc_xfer.config.dataset_cards import CARDS, card

    rows = rows_of("README.md", "Data")
    assert [row[0].strip("`") for row in rows] == list(CARDS)
    for name, _, classes, train, test, _ in rows:
        known = card(name.strip("`"))
        shown = [int(cell.replace(",", "")) for cell in (classes, train, test)]
        counts = known.counts if known.counts.train else known.listed
        assert shown == [len(known.classes), counts.train, counts.test]


def test_the_page_of_data_sets_has_the_nine_with_their_sizes() -> None:
    from hpc_xfer.config.dataset_cards import CARDS, card

    rows = {row[0].strip("`"): row[1] for row in rows_of("docs/datasets.md", "The nine")}
    assert list(rows) == list(CARDS)
    for name, shown in rows.items():
        known = card(name)
        counts = known.counts if known.counts.train else known.listed
        sizes = [int(number.replace(",", "")) for number in re.findall(r"[\d,]+", shown)]
        assert sizes == [size for size in (counts.train, counts.val, counts.test) if size], name


def test_the_table_of_contents_of_the_readme_leads_to_each_section() -> None:
    linked = re.findall(r"\]\(#([\w-]+)\)", pages.text_of("README.md"))
    assert linked == [
        anchor for anchor in pages.anchors("README.md") if anchor not in ("one-minute", "contents")
    ]


def test_a_reader_has_seen_the_readme_in_a_few_minutes() -> None:
    assert pages.text_of("README.md").count("\n") < 250


def test_the_site_of_the_pages_has_each_page_once() -> None:
    text = pages.text_of("mkdocs.yml")
    named = re.findall(r": ([\w.]+\.md)$", text, flags=re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in ROOT.glob("docs/*.md"))


@pytest.mark.parametrize("page", [page for page in pages.PAGES if page.startswith("docs/")])
def test_links_of_a_page_lead_to_pages(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", pages.text_of(page))
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_the_citation_names_the_version_and_the_licence() -> None:
    import hpc_xfer

    citation = load_yaml(ROOT / "CITATION.cff").data
    assert citation["version"] == hpc_xfer.__version__
    assert citation["license"] in (ROOT / "LICENSE").read_text()


@pytest.mark.slow
def test_the_method_that_the_page_adds_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code runs as the last lines of the two files that the page names."""
    from hpc_xfer.compute.pretraining import objectives
    from hpc_xfer.store.store import Store
    from tests import tiny

    first, second = pages.fences("docs/extending.md", "python", "class BarlowTwins")
    monkeypatch.setitem(recipes.METHODS, "barlow", recipes.SimCLR)  # taken out at the end
    monkeypatch.setitem(objectives.OBJECTIVES, "barlow", objectives.SimCLRObjective)
    names: dict[str, Any] = dict(vars(recipes))
    exec(compile(first, "recipes.py", "exec"), names)
    exec(compile(second, "objectives.py", "exec"), {**vars(objectives), **names})
    run = tiny.pretraining("barlow", projection=(32, 32, 16))
    folder = tiny.finished(Store(tmp_path), run, tiny.source(tmp_path / "source/sans"))
    record = tiny.record(folder)
    assert record["recipe"]["method"] == "barlow"
    assert record["metrics"]["final_loss"] > 0


def test_the_words_of_the_readme_mean_the_same_on_their_page() -> None:
    words = rows_of("README.md", "Words")
    page = [row for part in ("Studies and runs", "Measuring", "Running")
            for row in rows_of("docs/words.md", part)]  # fmt: skip
    assert [row for row in words if row not in page] == []
    assert len({row[0] for row in page}) == len(page)


@pytest.mark.parametrize("page", pages.PAGES)
def test_an_option_in_a_sentence_is_one_of_its_command(page: str) -> None:
    for name, *words in pages.commands_in_sentences(page):
        named = {word.split("=")[0] for word in words if word.startswith("-")}
        assert named <= pages.options_of(name), (name, words)
