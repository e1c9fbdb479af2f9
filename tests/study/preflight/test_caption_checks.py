"""Keys of captions that a source lacks are told before anything runs, each mistake once."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.config import shard_index
from hpc_xfer.config.site import Site
from tests.fabricated import source
from tests.study.preflight.checking import pretrain, source_notes

BLOCK = "method: clip, arch: RN50, samples: 500, epochs: 1, batch: 100"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A source with captions in its json alone, and one with captions in txt."""
    own = source(tmp_path / "imagenet", "cls json png")
    keys = ("description", "tags", "title")
    index = replace(shard_index.parse(own), json_keys=keys, texts=tuple((k, 1000) for k in keys))
    shard_index.write(index)
    web = source(tmp_path / "laion", "png txt")
    return Site(sources={"imagenet": str(own), "laion": str(web)})


def told(folder: Path, site: Site, source: str, caption: str) -> list[str]:
    sentences = pretrain(folder, site, f"{{{BLOCK}, source: {source}, caption: {caption}}}")
    return [each.removeprefix("a.yaml:3: pretrain.0.") for each in sentences]


def test_a_source_without_txt_is_told_with_the_keys_of_its_json(tmp_path: Path, site: Site) -> None:
    assert told(tmp_path, site, "imagenet", "txt") == [
        "source: 'imagenet' has no captions (txt), which clip needs; read them from keys of its "
        "json by `caption: {keys: ...}`; they are: description, tags, title"
    ]
    assert "{by_source: {imagenet: {keys: ...}}}" in told(
        tmp_path, site, "{imagenet: 1, laion: 1}", "txt"
    )[0]  # fmt: skip


def test_a_misspelt_key_is_told_also_beside_one_that_is_there(tmp_path: Path, site: Site) -> None:
    assert told(tmp_path, site, "imagenet", "{keys: [title, tag]}") == [
        "caption: no sample of 'imagenet' has the key 'tag' in its json; did you mean 'tags'?"
    ]
    assert told(tmp_path, site, "imagenet", "{keys: [titel, tag]}") == [
        "caption: none of these keys is in the json of 'imagenet'; name some of: description, "
        "tags, title"
    ]


def test_captions_of_each_source_are_checked_in_that_source_alone(
    tmp_path: Path, site: Site
) -> None:
    mixed = "{imagenet: 1, laion: 1}"
    assert told(tmp_path, site, mixed, "{by_source: {imagenet: {keys: [title, tags]}}}") == []
    assert told(tmp_path, site, mixed, "{by_source: {imagenet: {templates: ['a {}.']}}}") == []
    assert told(tmp_path, site, mixed, "{by_source: {laion: {templates: ['a {}.']}}}")[0] == (
        "source: 'imagenet' has no captions (txt), which clip needs; read them from keys of its "
        "json by `caption: {by_source: {imagenet: {keys: ...}}}`; they are: description, tags, "
        "title"
    )


@pytest.mark.parametrize(
    ("classes", "caption", "notes"),
    [
        (("n01440764", "n01443537"), "{templates: ['a photo of a {}.']}", 1),
        (("tench", "goldfish"), "{templates: ['a photo of a {}.']}", 0),
        (("n01440764", "n01443537"), "{keys: title}", 0),
    ],
)
def test_sentences_around_codes_are_told_with_the_way_to_name_the_classes(
    classes: tuple[str, ...], caption: str, notes: int, tmp_path: Path, site: Site
) -> None:
    folder = Path(site.sources["imagenet"])
    shard_index.write(replace(shard_index.parse(folder), classes=classes))
    block = f"{{{BLOCK}, source: imagenet, caption: {caption}}}"
    assert source_notes(tmp_path, site, block) == notes * [
        "source 'imagenet': its classes are called by numbers or codes, so captions are 'a photo "
        "of a n01440764.'; name them, in the order of labels, in imagenet/classes.json and run "
        "`python -m hpc_xfer.shards index imagenet`"
    ]


def test_labels_of_one_source_alone_are_told_once(tmp_path: Path, site: Site) -> None:
    mixed = "{method: supervised, arch: RN50, samples: 500, epochs: 1, batch: 100"
    assert pretrain(tmp_path, site, f"{mixed}, source: {{imagenet: 1, laion: 1}}}}") == [
        "a.yaml:3: pretrain.0.source: 'laion' has no labels (cls), which supervised needs; add "
        "them to its shards or name another source"
    ]


def test_labels_that_lie_elsewhere_are_told_with_the_way_there(tmp_path: Path, site: Site) -> None:
    own = source(tmp_path / "json", "json png")
    keys = ("breed", "title")
    index = replace(shard_index.parse(own), json_keys=keys, texts=(("title", 9),), classes=None)
    shard_index.write(index)
    source(tmp_path / "cls", "cls png")
    paths = {**site.sources, "cls": str(tmp_path / "cls"), "json": str(own)}

    def labels(source: str, label: str) -> str:
        block = "{method: supervised, arch: RN50, samples: 500, epochs: 1, batch: 100"
        elsewhere = Site(sources=paths)
        [line] = pretrain(tmp_path, elsewhere, f"{block}, source: {source}, label: {label}}}")
        return line.removeprefix("a.yaml:3: pretrain.0.")

    needs = "has no labels (json), which supervised needs"
    assert labels("cls", "cls") == (
        f"source: 'cls' {needs}; its labels are in the field cls, which is read without `label`; "
        "remove it"
    )
    assert labels("json", "breed") == (
        f"source: 'json' {needs}; if they are under the key 'breed' of its json, run "
        "`python -m hpc_xfer.shards index json --label-key breed`"
    )
    for name, told in (("json", f"source: 'json' {needs};"), ("imagenet", "label: 'imagenet':")):
        assert labels(name, "titel") == (
            f"{told} its json has no key 'titel'; did you mean 'title'?"
        )


def test_the_name_of_a_mixture_in_tables_is_told_as_the_grid_has_it(
    tmp_path: Path, site: Site
) -> None:
    assert told(tmp_path, site, "imagenet+laion", "txt") == [
        "source: the site file has no source 'imagenet+laion'; for a mixture, write "
        "{imagenet: 1, laion: 1}"
    ]
