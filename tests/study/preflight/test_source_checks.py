"""Faults of sources that are known before anything runs."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_files.oddity import NO_SAMPLE, Oddity
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.config.site import Site
from hpc_xfer.config.training_data import columns
from hpc_xfer.config.training_data.columns import text_hash
from hpc_xfer.study.plan import Run
from hpc_xfer.study.study_file import load_study
from tests.fabricated import source
from tests.study.preflight.checking import (
    CLIP,
    pretrain,
    source_notes,
)


def test_a_source_that_the_site_does_not_know_is_told_with_the_nearest(tmp_path: Path) -> None:
    told = "a.yaml:3: pretrain.0.source: the site file has no source 'sans'; add it to `sources` "
    assert pretrain(tmp_path, Site()) == [
        "a.yaml:3: pretrain.0.source: no site file says where source 'sans' lies; name one with "
        "--site"
    ]
    assert pretrain(tmp_path, Site(sources={"sens": "/x"})) == [
        f"{told}there; did you mean 'sens'?"
    ]


def test_a_source_without_folder_shards_or_index_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "my shards"
    site = Site(sources={"sans": str(folder)})
    told = "a.yaml:3: pretrain.0.source: my shards: "
    assert pretrain(tmp_path, site) == [f"{told}no such folder; correct the path in the site file"]
    folder.mkdir()
    assert pretrain(tmp_path, site) == [
        f"{told}holds no .tar shards; make some with `python -m hpc_xfer.shards make` or correct "
        "the path in the site file"
    ]
    (folder / "0.tar").write_bytes(bytes(10))
    assert pretrain(tmp_path, site) == [
        f"{told}has 1 shard but no index.json; run `python -m hpc_xfer.shards index 'my shards'`"
    ]


def test_a_folder_that_several_blocks_read_is_told_once(tmp_path: Path) -> None:
    larger = CLIP.replace("500", "900")
    site = Site(sources={"sans": str(tmp_path / "gone")})
    assert len(pretrain(tmp_path, site, f"{CLIP}\n  - {larger}")) == 1
    assert len(pretrain(tmp_path, Site(), f"{CLIP}\n  - {larger}")) == 2  # both lines name it


def test_a_shard_that_was_cut_off_is_told(tmp_path: Path) -> None:
    folder = source(tmp_path / "sans")
    (folder / "0.tar").write_bytes(bytes(100))
    [told] = pretrain(tmp_path, Site(sources={"sans": str(folder)}))
    assert told.startswith("a.yaml:3: pretrain.0.source: sans/0.tar: has 100 bytes where")


def test_keys_that_the_json_of_samples_has_not_are_told(tmp_path: Path) -> None:
    folder = source(tmp_path / "sans", "cls jpg json")
    index = ShardIndex.load(folder)
    shard_index.write(replace(index, json_keys=("alt", "kind"), label_key="kind"))
    site = Site(sources={"sans": str(folder)})
    end = "epochs: 1, batch: 100}"
    block = CLIP.replace(end, f"caption: {{keys: [title, alt]}}, {end}")
    assert pretrain(tmp_path, site, block) == []
    assert pretrain(tmp_path, site, block.replace("title, alt", "title")) == [
        "a.yaml:3: pretrain.0.caption: none of these keys is in the json of 'sans'; name some of: "
        "alt, kind"
    ]
    supervised = CLIP.replace("clip", "supervised").replace(end, f"label: kind, {end}")
    quoted = shlex.quote(str(folder)).replace(f"{tmp_path}/", "")
    assert pretrain(tmp_path, site, supervised) == []
    assert pretrain(tmp_path, site, supervised.replace("kind", "breed")) == [
        "a.yaml:3: pretrain.0.label: the index of 'sans' does not take its classes from the json "
        f"key 'breed'; run `python -m hpc_xfer.shards index {quoted}` with --label-key breed"
    ]


def test_a_source_is_told_once_for_all_runs_of_a_block(tmp_path: Path) -> None:
    block = CLIP.replace("epochs", "seed: [0, 1, 2], epochs")
    assert len(pretrain(tmp_path, Site(), block)) == 1


@pytest.mark.parametrize(
    ("fields", "block", "sentence"),
    [
        (
            "cls png txt", CLIP.replace("500", "1001"),
            "samples: asks for 1,001 of a source that has 1,000; lower it",
        ),
        (
            "png txt", CLIP.replace("clip", "supervised"),
            "source: 'sans' has no labels (cls), which supervised needs; add them to its shards or "
            "name another source",
        ),
        (
            "cls png", CLIP,
            "source: 'sans' has no captions (txt), which clip needs; add them to its shards or "
            "name another source",
        ),
    ],
)  # fmt: skip
def test_a_source_that_lacks_what_the_method_needs_is_told(
    tmp_path: Path, fields: str, block: str, sentence: str
) -> None:
    site = Site(sources={"sans": str(source(tmp_path / "sans", fields))})
    assert pretrain(tmp_path, site, block) == [f"a.yaml:3: pretrain.0.{sentence}"]


def test_images_alone_are_enough_for_simclr(tmp_path: Path) -> None:
    site = Site(sources={"sans": str(source(tmp_path / "sans", "png"))})
    assert pretrain(tmp_path, site, CLIP.replace("clip", "simclr")) == []


def odd(folder: Path, *oddities: Oddity, fields: str = "cls jpg txt", **changes: Any) -> Site:
    """A source of 1,000 samples with an index that has counted these."""
    index = ShardIndex.load(source(folder, fields))
    shard_index.write(replace(index, oddities=oddities, **changes))
    return Site(sources={"sans": str(folder)})


def test_one_bad_label_refuses_what_learns_labels_and_nothing_else(tmp_path: Path) -> None:
    bad = Oddity("no usable label (cls)", 3, "9 in b.tar: cls 'cat' is not", "label")
    lacking = Oddity("no cls, unlike others", 1, "0 in a.tar", "label")
    site = odd(tmp_path / "sans", bad, lacking)
    assert pretrain(tmp_path, site) == []
    assert source_notes(tmp_path, site, CLIP) == []
    refused = (
        "samples of 'sans' have no class, which {} needs here: no usable label (cls), the first 9 "
        "in b.tar: cls 'cat' is not and 1 other faults; correct them and run "
        f"`python -m hpc_xfer.shards index {tmp_path}/sans`, or leave them out by `select: "
        "{{per_class: ...}}`"
    )
    supervised = CLIP.replace("clip", "supervised")
    templates = CLIP.replace("epochs", "caption: {templates: ['a {}']}, epochs")
    for block, method in ((supervised, "supervised"), (templates, "clip")):
        (told,) = pretrain(tmp_path, site, block)
        assert told == f"a.yaml:3: pretrain.0.source: 4 of 1,000 {refused.format(method)}".replace(
            f"{tmp_path}/", ""
        )


def test_a_source_without_images_is_refused_before_any_job(tmp_path: Path) -> None:
    (told,) = pretrain(tmp_path, odd(tmp_path / "sans", fields="heic txt"))
    assert told == (
        "a.yaml:3: pretrain.0.source: 'sans' has no images (jpg, jpeg, png, webp, avif, bmp, gif, "
        "jp2, ppm, tif, tiff): its fields are heic, txt; add them to its shards or name another "
        "source"
    )


def test_samples_without_an_image_are_told(tmp_path: Path) -> None:
    some = Oddity("no image", 10, "x/2 in a.tar", "image")
    assert source_notes(tmp_path, odd(tmp_path / "sans", some), CLIP) == [
        "source 'sans': no image: 10 of 1,000 samples, the first x/2 in a.tar; training skips them",
        "source 'sans': at most 990 of 1,000 samples are of use to clip, and neighbors take the "
        "place of the others; max_broken allows fewer, so that the run may stop",
    ]


def test_a_source_with_too_few_captions_for_max_broken_is_refused(tmp_path: Path) -> None:
    site = odd(
        tmp_path / "sans",
        Oddity("a txt that is 'nan', which stands for none", 600, "7 in a.tar", "txt"),
        Oddity("no image", 10, "x/2 in a.tar", "image"),
    )
    assert pretrain(tmp_path, site, CLIP.replace("clip", "supervised")) == []
    told = pretrain(tmp_path, site)
    assert told == [
        "a.yaml:3: pretrain.0.source: 600 of 1,000 samples of 'sans' are of no use to clip (a txt "
        "that is 'nan', which stands for none: the first 7 in a.tar), more than max_broken 0.001 "
        "allows; correct them and run `python -m hpc_xfer.shards index sans`, or name another "
        "source"
    ]
    allowed = CLIP.replace("epochs", "max_broken: 0.6, epochs")
    assert pretrain(tmp_path, site, allowed) == []
    assert source_notes(tmp_path, site, allowed)[-1] == (
        "source 'sans': at most 400 of 1,000 samples are of use to clip, and neighbors take the "
        "place of the others; max_broken allows fewer, so that the run may stop"
    )


def test_max_broken_is_advised_as_training_counts(tmp_path: Path) -> None:
    """A neighbor that takes the place of a broken sample may be broken, too."""
    some = Oddity("a txt that is 'nan', which stands for none", 200, "7 in a.tar", "txt")
    all_of_it = CLIP.replace("500", "1000")
    (told,) = pretrain(tmp_path, odd(tmp_path / "sans", some), all_of_it)
    assert told.endswith("or raise max_broken to 0.25 or more")


def test_a_key_that_most_samples_lack_is_told(tmp_path: Path) -> None:
    site = odd(
        tmp_path / "sans",
        fields="jpg json",
        json_keys=("alt", "url_text"),
        texts=(("alt", 990), ("url_text", 12)),
    )
    block = CLIP.replace("epochs", "caption: {keys: KEYS}, max_broken: 0.02, epochs")
    (refused,) = pretrain(tmp_path, site, block.replace("KEYS", "url_text"))
    assert "988 of 1,000 samples of 'sans' are of no use to clip, more than" in refused
    assert source_notes(tmp_path, site, block.replace("KEYS", "[url_text, alt]")) == [
        "source 'sans': the keys of captions have a text: 'url_text' in 12, 'alt' in 990 of 1,000 "
        "samples",
    ]


def test_classes_without_samples_are_told_to_those_who_learn_classes(tmp_path: Path) -> None:
    first = "0; classes seem to be numbered from 1"
    site = odd(tmp_path / "sans", Oddity(NO_SAMPLE, 1, first, of="classes"))
    assert source_notes(tmp_path, site, CLIP) == []
    assert source_notes(tmp_path, site, CLIP.replace("clip", "supervised")) == [
        "source 'sans': a class without samples: 1 of 2 classes, the first 0; classes seem to be "
        "numbered from 1; no image trains their outputs"
    ]


def test_shards_of_a_source_that_are_not_used_are_told(tmp_path: Path) -> None:
    site = odd(tmp_path / "sans")
    (tmp_path / "sans/part-2").mkdir()
    for name in ("1.tar.gz", "part-2/1.tar"):
        (tmp_path / "sans" / name).touch()
    assert [note.split(";")[0] for note in source_notes(tmp_path, site, CLIP)] == [
        "source 'sans': sans: 1 compressed shard is not used, the first 1.tar.gz",
        "source 'sans': sans: 1 shard in a deeper folder is not used, the first part-2/1.tar",
    ]


def test_a_source_that_is_too_small_is_not_called_broken_too(tmp_path: Path) -> None:
    site = Site(sources={"sans": str(source(tmp_path / "sans"))})
    assert pretrain(tmp_path, site, CLIP.replace("500", "5000")) == [
        "a.yaml:3: pretrain.0.samples: asks for 5,000 of a source that has 1,000; lower it"
    ]


# Mixtures and selections.

MIXED = CLIP.replace("source: sans", "source: {sans: 1, serif: 1}")


def scored(folder: Path, samples: int = 1000) -> Path:
    """A source with a score from 0 to 1 and a hash that two samples share."""
    index = ShardIndex.load(source(folder, samples=samples))
    score = np.arange(samples) / samples
    hashes = 1 + np.arange(samples) // 2
    arrays: dict[str, tuple[columns.Kind, Any]] = {
        "clip_score": ("number", score), "phash": ("text", hashes),
    }  # fmt: skip
    columns.write(index, arrays, check=lambda *_: None)
    return folder


def selecting(select: str, samples: int = 500) -> str:
    return CLIP.replace("samples: 500", f"samples: {samples}, select: {select}")


def test_each_source_of_a_mixture_is_checked(tmp_path: Path) -> None:
    sans, serif = source(tmp_path / "sans"), source(tmp_path / "serif", samples=200)
    site = Site(sources={"sans": str(sans), "serif": str(serif)})
    assert pretrain(tmp_path, site, MIXED) == [
        "a.yaml:3: pretrain.0.samples: asks for 250 of 'serif' that has 200; lower it"
    ]
    assert pretrain(tmp_path, site, MIXED.replace("samples: 500", "samples: 400")) == []
    only = Site(sources={"sans": str(sans)})
    assert pretrain(tmp_path, only, MIXED) == [
        "a.yaml:3: pretrain.0.source: the site file has no source 'serif'; add it to `sources` "
        "there; the site knows: sans"
    ]


def test_sources_with_other_classes_are_not_learned_together(tmp_path: Path) -> None:
    sans, serif = source(tmp_path / "sans"), source(tmp_path / "serif")
    shard_index.write(replace(ShardIndex.load(serif), classes=("a", "c")))
    site = Site(sources={"sans": str(sans), "serif": str(serif)})
    assert pretrain(tmp_path, site, MIXED) == []
    assert pretrain(tmp_path, site, MIXED.replace("clip", "supervised")) == [
        "a.yaml:3: pretrain.0.source: sans+serif have different classes, which supervised cannot "
        "learn together; give them the same classes.json and index them again"
    ]


def test_too_few_chosen_samples_are_told_with_their_number(tmp_path: Path) -> None:
    site = Site(sources={"sans": str(scored(tmp_path / "sans"))})
    block = selecting("{best: {clip_score: 0.6}, distinct: phash}", samples=300)
    assert pretrain(tmp_path, site, block) == []
    assert source_notes(tmp_path, site, block) == [
        "source 'sans': select leaves 300 of 1,000 samples (best 60% clip_score leaves 600, "
        "distinct phash leaves 300)"
    ]
    assert pretrain(tmp_path, site, block.replace("samples: 300", "samples: 301")) == [
        "a.yaml:3: pretrain.0.select: leaves 300 of the 1,000 samples of 'sans' (best 60% "
        "clip_score leaves 600, distinct phash leaves 300), and samples asks for 301; lower "
        "samples, or select less"
    ]


def test_a_column_that_a_source_lacks_is_told_with_the_command(tmp_path: Path) -> None:
    site = Site(sources={"sans": str(source(tmp_path / "sans"))})
    assert pretrain(tmp_path, site, selecting("{above: {clip_score: 0.3}}")) == [
        "a.yaml:3: pretrain.0.select: sans: has no column 'clip_score'; run `python -m "
        "hpc_xfer.shards index sans --columns clip_score`"
    ]


def test_a_list_of_keys_is_relative_to_the_grid_and_its_content_makes_the_run(
    tmp_path: Path,
) -> None:
    def run_ids() -> list[str]:
        study = load_study(tmp_path / "a.yaml")
        return [Run("pretrain", recipe).id for recipe in study.pretrains]

    index = ShardIndex.load(source(tmp_path / "sans"))
    keys = np.array([text_hash(f"{n:09d}") for n in range(1000)], np.uint64)
    columns.write(index, {"key": ("text", keys)}, check=lambda *_: None)
    site, block = Site(sources={"sans": str(index.folder)}), selecting("{keys: good.txt}", 100)
    told = "a.yaml:3: pretrain.0.select.keys: "
    assert pretrain(tmp_path, site, block) == [
        f"{told}good.txt: cannot be read (No such file or directory); name a file with a key per "
        "line"
    ]
    (tmp_path / "good.txt").write_text("".join(f"{n:09d}\n" for n in range(0, 1000, 10)))
    assert pretrain(tmp_path, site, block) == []
    first = run_ids()
    (tmp_path / "other.txt").write_bytes((tmp_path / "good.txt").read_bytes())
    assert pretrain(tmp_path, site, block.replace("good", "other")) == []
    assert run_ids() == first
    with (tmp_path / "good.txt").open("a") as file:
        file.write("000000001\n")
    assert pretrain(tmp_path, site, block) == [] and run_ids() != first
    assert pretrain(tmp_path, site, selecting("{keys: [a, b]}", 100)) == [
        f'{told}must be a file with a key per line, or {{column: file}}, got ["a", "b"]'
    ]
