"""Odd samples of a source: the index counts and names them, and uses the rest."""

from pathlib import Path

import pytest

from hpc_xfer import shards
from hpc_xfer.compute.shard_tools.build_index import index_folder
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError
from tests.compute.shard_tools.making import with_json
from tests.tars import write_tar

NO_LABELS = {
    b"cat": "'cat'", b"": "''", b" 3.0\n": "'3.0'", b"\xff": "'\ufffd'", b"-1": "'-1'",
    b"1_000": "'1_000'", b"9" * 5000: f"'{39 * '9'}...",
}  # fmt: skip


@pytest.mark.parametrize(("data", "shown"), NO_LABELS.items(), ids=range(len(NO_LABELS)))
def test_one_bad_label_does_not_stop_the_index_of_a_source_with_captions(
    data: bytes, shown: str, tmp_path: Path
) -> None:
    """CLIP reads its captions; nobody asked for the labels."""
    good = [("8.jpg", b"1"), ("8.txt", b"a dog"), ("8.cls", b"0\n")]
    write_tar(tmp_path / "b.tar", [*good, ("9.jpg", b"1"), ("9.txt", b"a cat"), ("9.cls", data)])
    found = index_folder(tmp_path)
    assert found.index.classes == ("0",)
    assert found.warnings == (
        "no usable label (cls): 1 of 2 samples, in 1 of 1 shards, the first 9 in b.tar: cls "
        f"{shown} is not a class number (0, 1, 2, ...)",
    )


def test_a_source_whose_labels_are_all_bad_has_no_classes(tmp_path: Path) -> None:
    write_tar(tmp_path / "b.tar", [("9.jpg", b"1"), ("9.cls", b"cat")])
    assert index_folder(tmp_path).index.classes is None


def test_classes_numbered_from_1_are_told(tmp_path: Path) -> None:
    labeled = [(f"{i}.{field}", data) for i in (1, 2, 3)
               for field, data in (("jpg", b"1"), ("cls", str(i).encode()))]  # fmt: skip
    write_tar(tmp_path / "a.tar", labeled)
    assert index_folder(tmp_path).warnings == (
        "a class without samples: 1 of 4 classes, the first 0; classes seem to be numbered from 1",
    )
    write_tar(tmp_path / "a.tar", [*labeled[:2], *labeled[4:]])
    assert index_folder(tmp_path).warnings == (
        "a class without samples: 2 of 4 classes, the first 0",
    )


def test_names_that_are_hardly_classes_are_told(tmp_path: Path) -> None:
    kinds = ["cat", " Cat", "nan", "dog", "None"]
    write_tar(tmp_path / "a.tar", with_json(*({"kind": kind, "text": "a"} for kind in kinds)))
    assert index_folder(tmp_path, label_key="kind").warnings == (
        "a label that may stand for none: 2 of 5 samples, in 1 of 1 shards, the first 2 in a.tar: "
        "'nan'",
        "labels that differ in spaces or capitals alone: 2 of 5 samples, in 1 of 1 shards, the "
        "first 0 in a.tar: 'cat'",
    )


def test_captions_that_another_program_has_damaged_are_told(tmp_path: Path) -> None:
    """What is lost cannot come back, so they are used."""
    members = [("0.jpg", b"image"), ("0.txt", "caf\ufffd".encode())]
    members += [("1.jpg", b"image"), ("1.txt", "café".encode())]
    write_tar(tmp_path / "a.tar", members)
    write_tar(tmp_path / "b.tar", with_json({"text": "caf\ufffd"}, {"text": "café"}))
    told = [each for each in index_folder(tmp_path).warnings if "U+FFFD" in each]
    assert told == [
        "a txt with U+FFFD, which stands for lost bytes: 1 of 4 samples, in 1 of 2 shards, the "
        "first 0 in a.tar",
        "a json with U+FFFD, which stands for lost bytes: 1 of 4 samples, in 1 of 2 shards, the "
        "first 0 in b.tar",
    ]


@pytest.mark.parametrize(
    "value", [{"label": -1}, {"label": 0.5}, {"label": None}, {"label": " "}, {}, [], b"", b"{"]
)
def test_a_json_without_a_class_is_counted(tmp_path: Path, value: object) -> None:
    write_tar(tmp_path / "a.tar", with_json({"label": 0}, value))
    found = index_folder(tmp_path, label_key="label")
    counted = {each.what: (each.count, each.spoils) for each in found.index.oddities}
    assert counted["no usable label (json: label)"] == (1, "label")
    assert found.index.classes == ("0",)


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"kind": ' + b"9" * 5000 + b"}", b'{"kind": "\xff"}', b"3", b""]
)
def test_a_json_that_is_of_no_use_is_counted(content: bytes, tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("0.jpg", b"1"), ("0.json", content)])
    (told,) = index_folder(tmp_path).index.oddities
    assert (told.what, told.count, told.spoils) == ("a json that is of no use", 1, "json")
    assert told.first.startswith("0 in a.tar: its json ")
    with pytest.raises(DataError, match="no sample has a class number or a name under 'kind'"):
        index_folder(tmp_path, label_key="kind")


@pytest.mark.parametrize("label", [b"1700000000", b"9" * 18])
def test_an_id_is_no_class_number(label: bytes, tmp_path: Path) -> None:
    """A list of as many names would fill the memory."""
    write_tar(tmp_path / "a.tar", [("0.jpg", b"1"), ("0.cls", label)])
    found = index_folder(tmp_path)
    assert found.index.classes is None
    assert found.warnings == (
        "a label outside of 0 to 999,999 (ids are no class numbers): 1 of 1 samples, in 1 of 1 "
        f"shards, the first 0 in a.tar: {int(label)}",
    )


def test_of_numbers_and_names_together_the_more_frequent_are_classes(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", with_json({"label": "dog"}, {"label": 0}))
    write_tar(tmp_path / "b.tar", with_json({"label": "cat"}))
    found = index_folder(tmp_path, label_key="label")
    assert found.index.classes == ("cat", "dog")
    assert found.warnings == (
        "a label of another kind than most (numbers and names): 1 of 3 samples, in 1 of 2 shards, "
        "the first 1 in a.tar: 0",
    )


def test_a_shard_without_classes_among_others_is_counted(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("0.jpg", b"1"), ("0.txt", b"a cat")])
    write_tar(tmp_path / "b.tar", [("0.jpg", b"1"), ("0.cls", b"0")])
    assert index_folder(tmp_path).warnings == (
        "no cls, unlike others: 1 of 2 samples, in 1 of 2 shards, the first 0 in a.tar",
        "no txt, unlike others: 1 of 2 samples, in 1 of 2 shards, the first 0 in b.tar",
    )


NO_CAPTIONS = {
    b" \n": "an empty txt",
    b"\xef\xbb\xbf": "an empty txt",
    b"caf\xe9": "a txt that is not UTF-8",
    b"\xff\xfea\0": "a txt that is not UTF-8",
    b"a cat\0\0": "a txt that holds null bytes",
    b"\x01\x02": "a txt that holds no character that can be seen",
    "\u200b".encode(): "a txt that holds no character that can be seen",
    **{name: f"a txt that is {name.decode()!r}, which stands for none"
       for name in (b"nan", b"NULL", b"None", b"N/A")},
}  # fmt: skip


@pytest.mark.parametrize(("data", "what"), NO_CAPTIONS.items(), ids=range(len(NO_CAPTIONS)))
def test_captions_that_are_none_are_counted(data: bytes, what: str, tmp_path: Path) -> None:
    good = [("0.jpg", b"1"), ("0.txt", "\ufeffa caf\u00e9, not nan".encode())]
    write_tar(tmp_path / "a.tar", [*good, ("1.jpg", b"1"), ("1.txt", data)])
    assert index_folder(tmp_path).warnings == (
        f"{what}: 1 of 2 samples, in 1 of 1 shards, the first 1 in a.tar",
    )


def test_images_and_texts_in_fields_that_are_not_read_are_counted(tmp_path: Path) -> None:
    members = [("0.tiff", b"1"), ("1.heic", b"1"), ("2.image.jpg", b"1"), ("2.caption.txt", b"a")]
    write_tar(tmp_path / "a.tar", [*members, ("3.jpg", b"1"), ("3.text", b"a cat")])
    images = "avif bmp gif jp2 ppm tif tiff"
    place = "in 1 of 1 shards, the first"
    assert index_folder(tmp_path).warnings == (
        f"no image: 2 of 4 samples, {place} 1 in a.tar",
        f"a field heic, which is not read (images are jpg jpeg png webp {images}): 1 of 4 samples, "
        f"{place} 1 in a.tar: heic",
        "a field with a dot, which is not read as jpg (a key ends at the first dot of its name): 1 "
        f"of 4 samples, {place} 2 in a.tar: image.jpg",
        "a field with a dot, which is not read as txt (a key ends at the first dot of its name): 1 "
        f"of 4 samples, {place} 2 in a.tar: caption.txt",
        "a field text, which is not read (captions are txt or json, labels cls or json): 1 of 4 "
        f"samples, {place} 3 in a.tar: text",
    )


def test_the_samples_that_have_a_text_are_counted_by_key(tmp_path: Path) -> None:
    """Also a key that the first samples lack."""
    many: list[object] = [{"url_text": None, "caption": 1984} for _ in range(30)]
    write_tar(tmp_path / "a.tar", with_json(*many, {"url_text": "a cat", "tags": [["nan", "b"]]}))
    index = index_folder(tmp_path).index
    assert index.texts == (("caption", 30), ("tags", 1), ("url_text", 1))
    assert ShardIndex.load(tmp_path) == index


def test_unusual_samples_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tar(
        tmp_path / "a.tar",
        [
            *[("x/0.jpg", b"1"), ("x/0.txt", b"fine")],
            *[("x/1.jpg", b"1"), ("x/1.png", b"1"), ("x/1.txt", b"")],
            *[("x/2.txt", b"alone")],
            *[("x/3.webp", b"1")],
            *[("x/0.jpeg", b"1"), ("x/0.txt", b"again")],
        ],
    )
    write_tar(tmp_path / "b.tar", [("y.txt", b"alone")])
    assert shards.main(["index", str(tmp_path), "--workers", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}: 6 samples in 2 shards",
        "warning: no image: 2 of 6 samples, in 2 of 2 shards, the first x/2 in a.tar",
        "warning: several images: 1 of 6 samples, in 1 of 2 shards, the first x/1 in a.tar: jpg is "
        "taken of jpg, png",
        "warning: a key that another has: 2 of 6 samples, in 1 of 2 shards, the first x/0 in a.tar",
        "warning: an empty txt: 1 of 6 samples, in 1 of 2 shards, the first x/1 in a.tar",
        "warning: no txt, unlike others: 1 of 6 samples, in 1 of 2 shards, the first x/3 in a.tar",
    ]


def test_files_in_shards_that_belong_to_no_sample_are_counted(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("0.jpg", b"1"), ("._0.jpg", b"of a Mac"), ("README", b"")])
    found = index_folder(tmp_path)
    assert found.warnings == (
        "left out of the shards: 1 files of macOS (._* and __MACOSX), in 1 of 1 shards, the first "
        "._0.jpg in a.tar",
        "left out of the shards: 1 files without a suffix, in 1 of 1 shards, the first README in "
        "a.tar",
    )
    assert [(each.count, each.of) for each in found.index.oddities] == [(1, "files"), (1, "files")]
    assert ShardIndex.load(tmp_path) == found.index


def test_images_without_a_byte_and_json_without_any_text_are_counted(tmp_path: Path) -> None:
    """A download that failed leaves an empty image; a table without captions leaves nulls."""
    write_tar(
        tmp_path / "a.tar",
        [
            *[("0.jpg", b""), ("0.json", b'{"caption": "a cat"}')],
            *[("1.jpg", b"1"), ("1.json", b'{"caption": null}')],
        ],
    )
    found = index_folder(tmp_path)
    assert found.warnings == (
        "an empty image: 1 of 2 samples, in 1 of 1 shards, the first 0 in a.tar: jpg",
        "a json without any text: 1 of 2 samples, in 1 of 1 shards, the first 1 in a.tar",
    )
    assert [each.spoils for each in found.index.oddities] == ["image", "json"]


def test_labels_that_pandas_made_fractions_of_are_whole_numbers(tmp_path: Path) -> None:
    """One missing label in a table makes 1.0 of each 1."""
    values = ("0.0", "2.0", "NaN", "0.5")
    members = [
        each
        for i, value in enumerate(values)
        for each in ((f"{i}.jpg", b"1"), (f"{i}.json", f'{{"label": {value}}}'.encode()))
    ]
    write_tar(tmp_path / "a.tar", members)
    found = index_folder(tmp_path, label_key="label")
    assert found.index.classes == ("0", "1", "2")
    assert [(each.what, each.count) for each in found.index.oddities][:2] == [
        ("a json without any text", 1), ("no usable label (json: label)", 2),
    ]  # fmt: skip
