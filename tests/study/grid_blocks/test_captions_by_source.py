"""Each source of a mixture has captions of its own; one meaning is one run."""

from pathlib import Path

import pytest

from hpc_xfer.study.plan import make_plan
from tests.study.grid_texts import load, pretrain_refusal

BLOCK = "method: clip, arch: RN50, samples: 8000, epochs: 2, batch: 100"
MIXED = "source: {imagenet: 1, laion: 1}"


def runs(folder: Path, source: str, caption: str = "", more: str = "") -> list[str]:
    given = f", caption: {caption}" if caption else ""
    text = f"name: x\npretrain: [{{{BLOCK}, {source}{given}{more}}}]\n"
    return [run.id for run in make_plan(load(folder, text)).of("pretrain")]


def refused(folder: Path, source: str, caption: str, more: str = "") -> list[str]:
    return pretrain_refusal(folder, f"{{{BLOCK}, {source}, caption: {caption}{more}}}")


def test_sources_without_a_place_of_their_own_take_the_field_txt(tmp_path: Path) -> None:
    own = runs(tmp_path, MIXED, "{by_source: {imagenet: {keys: title}}}")
    assert own == runs(tmp_path, MIXED, "{by_source: {laion: txt, imagenet: {keys: [title]}}}")
    assert own != runs(tmp_path, MIXED)
    assert own != runs(tmp_path, MIXED, "{by_source: {laion: {keys: title}}}")
    assert own != runs(tmp_path, MIXED, "{by_source: {imagenet: {templates: 'a {}.'}}}")


def test_one_place_for_all_sources_is_the_run_that_names_it_once(tmp_path: Path) -> None:
    same = "{by_source: {imagenet: {keys: title}, laion: {keys: title}}}"
    assert runs(tmp_path, MIXED, same) == runs(tmp_path, MIXED, "{keys: title}")
    assert runs(tmp_path, MIXED, "{by_source: {laion: txt}}") == runs(tmp_path, MIXED)
    assert runs(tmp_path, MIXED, "txt") == runs(tmp_path, MIXED)


def test_a_block_of_several_sources_takes_for_each_run_what_its_sources_need(
    tmp_path: Path,
) -> None:
    each = ("source: laion", "source: imagenet", MIXED)
    own = "{by_source: {imagenet: {keys: title}}}"
    found = runs(tmp_path, "source: [laion, imagenet, {imagenet: 1, laion: 1}]", own)
    alone = [
        runs(tmp_path, each[0]),
        runs(tmp_path, each[1], "{keys: title}"),
        runs(tmp_path, each[2], own),
    ]
    assert [[run] for run in found] == alone


def test_a_default_may_name_the_captions_of_all_sources(tmp_path: Path) -> None:
    text = f"""\
name: x
defaults: {{pretrain: {{caption: {{by_source: {{imagenet: {{keys: title}}}}}}}}}}
pretrain:
  - {{{BLOCK}, source: laion}}
  - {{{BLOCK}, source: imagenet}}
"""
    found = [run.id for run in make_plan(load(tmp_path, text)).of("pretrain")]
    assert found == [
        *runs(tmp_path, "source: laion"),
        *runs(tmp_path, "source: imagenet", "{keys: title}"),
    ]


@pytest.mark.parametrize(
    ("caption", "sentence"),
    [
        (
            "{by_source: {imagnet: {keys: a}}}",
            "caption.by_source.imagnet: is not a source of this block; did you mean 'imagenet'?",
        ),
        (
            "{imagenet: {keys: title}}",
            "caption: has a key with the name of the source 'imagenet'; write `caption: "
            "{by_source: {imagenet: ...}}`",
        ),
        (
            "{by_source: {imagenet: title}}",
            "caption.by_source.imagenet: must be txt or a mapping; for a key of the json, write "
            "{keys: title}",
        ),
        (
            "{by_source: {imagenet: {key: title}}}",
            "caption.by_source.imagenet.key: unknown key; did you mean 'keys'?",
        ),
        (
            "{by_source: {imagenet: {keys: a}}, keys: b}",
            "caption: by_source stands alone; give each source its own keys or templates",
        ),
        (
            "{by_source: {}}",
            "caption.by_source: names no source; write {imagenet: {keys: title}}, or remove it",
        ),
        ("title", "caption: must be txt or a mapping; for a key of the json, write {keys: title}"),
        ("{keys: [a, b, a]}", "caption: has the key 'a' twice; keep one"),
    ],
)
def test_captions_that_mean_nothing_are_refused(
    tmp_path: Path, caption: str, sentence: str
) -> None:
    assert refused(tmp_path, MIXED, caption) == [f"a.yaml:3: pretrain.0.{sentence}"]


def test_a_key_of_labels_that_no_caption_reads_is_refused(tmp_path: Path) -> None:
    told = "a.yaml:3: pretrain.0.label: is read by captions from templates alone, and there are "
    assert refused(tmp_path, MIXED, "{keys: title}", ", label: kind") == [f"{told}none; remove it"]
    some = "{by_source: {imagenet: {templates: ['a {}.']}}}"
    assert len(runs(tmp_path, MIXED, some, ", label: kind")) == 1


def test_tables_name_captions_of_each_source_and_tell_them_apart(tmp_path: Path) -> None:
    places = (
        "{keys: [a, b]}",
        "{mix: {a: 1, b: 1}}",
        "{templates: 'a {}.'}",
        "{templates: 'b {}.'}",
    )
    captions = ", ".join(f"{{by_source: {{laion: {place}}}}}" for place in places)
    text = f"name: x\npretrain: [{{{BLOCK}, {MIXED}, caption: [{captions}]}}]\n"
    runs = make_plan(load(tmp_path, text)).of("pretrain")
    names = [str(run.columns["pretrain_caption"]) for run in runs]
    assert names[:2] == ["laion: a & b", "laion: a+b"] and len(set(names)) == 4
    assert names[2].startswith("laion: templates ")
