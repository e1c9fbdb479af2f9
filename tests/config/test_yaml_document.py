"""YAML as a user means it, and one sentence for every file that is none."""

from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.config import yaml_document
from hpc_xfer.config.schema import nearest
from hpc_xfer.errors import StudyError

VARIABLES = {"SCRATCH": "/scratch/ann", "NOTHING": ""}


def read(folder: Path, text: str) -> Any:
    path = folder / "a.yaml"
    path.write_text(text)
    return yaml_document.load_yaml(path, value_of=VARIABLES.get).data


def refusal(folder: Path, content: str | bytes) -> str:
    """The sentences, with the folder cut off."""
    path = folder / "a.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(StudyError) as caught:
        yaml_document.load_yaml(path, value_of=VARIABLES.get)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1e-3", 0.001), ("1E5", 100000.0), ("1_000_000", 1_000_000), ("1_000.5", 1000.5),
        ("010", 10), ("-3", -3), (".5", 0.5), ("5.", 5.0), ("+.5e1", 5.0),
        ("on", "on"), ("no", "no"), ("yes", "yes"), ("Off", "Off"), ("y", "y"),
        ("true", True), ("False", False), ("1:30", "1:30"), ("2024-01-01", "2024-01-01"),
        ("null", None), ("~", None), ("", None), ("'1e-3'", "1e-3"), ('"8"', "8"), ("0x10", "0x10"),
        (".inf", float("inf")), ("-.INF", float("-inf")), ("1e", "1e"), ("_1", "_1"), ("=", "="),
    ],
)  # fmt: skip
def test_a_scalar_is_what_it_looks_like(tmp_path: Path, written: str, meant: Any) -> None:
    [value] = read(tmp_path, f"a: {written}\n").values()
    assert (value, type(value)) == (meant, type(meant))


def test_keys_are_words_even_where_they_look_like_numbers(tmp_path: Path) -> None:
    assert read(tmp_path, "{1: a, on: b, 1e-3: c}") == {"1": "a", "on": "b", "1e-3": "c"}


def test_variables_of_a_site_file_get_their_values(tmp_path: Path) -> None:
    text = "a: ${SCRATCH}/x\nb: ${UNSET_9:-/tmp}/y\nc: ${NOTHING:-z}\nd: $SCRATCH\n"
    assert read(tmp_path, text) == {"a": "/scratch/ann/x", "b": "/tmp/y", "c": "z", "d": "$SCRATCH"}


def test_an_unset_variable_names_itself_its_place_and_the_way_out(tmp_path: Path) -> None:
    assert refusal(tmp_path, "a: 1\nb: {c: '${UNSET_9}/x'}\n") == (
        "a.yaml:2: b.c: the environment variable UNSET_9 is not set; set it or write "
        "${UNSET_9:-default}"
    )


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    told = refusal(tmp_path, "a: 1\na: 2\nb:\n  c: ${UNSET_9}\n  c: 3\n").splitlines()
    assert told == [
        "a.yaml:2: a: duplicate key; keep one of the two",
        "a.yaml:4: b.c: the environment variable UNSET_9 is not set; set it or write "
        "${UNSET_9:-default}",
        "a.yaml:5: b.c: duplicate key; keep one of the two",
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "a.yaml: is empty; see grids/ for examples"),
        ("# only a comment\n", "a.yaml: is empty; see grids/ for examples"),
        ("- a\n- b\n", "a.yaml:1: must be a mapping of keys to values; see grids/ for examples"),
        ("word", "a.yaml:1: must be a mapping of keys to values; see grids/ for examples"),
        ("null", "a.yaml:1: must be a mapping of keys to values; see grids/ for examples"),
        (
            "a: 1\nb: [1, 2\nc: 3\n",
            "a.yaml:2: the [ has no ] where it should end; add it",
        ),
        (
            "a:\n\t- b\n",
            "a.yaml:2: has a tab, where YAML wants spaces; replace each tab by spaces",
        ),
        (
            "a: *nobody\n",
            "a.yaml:1: found undefined alias 'nobody'; write &NAME before the value that *NAME "
            "repeats",
        ),
        (b"\x89PNG\r\n\xff\xfe\x00", "a.yaml: is not a text file; name a YAML file"),
        ("? [a]\n: 1\n", "a.yaml:1: a list or mapping cannot be a key; write a word"),
        ("a: !!int many\n", "a.yaml:1: a: is not a number: many; write it in digits"),
        ("a: !mine 3\n", "a.yaml:1: a: the tag !mine is not supported; remove it"),
        ("a: &x {b: *x}\n", "a.yaml:1: an alias refers to its own parent; write it out"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_gets_one_sentence(
    tmp_path: Path, content: str | bytes, sentence: str
) -> None:
    assert refusal(tmp_path, content) == sentence


def test_a_control_character_is_told_in_one_line(tmp_path: Path) -> None:
    told = refusal(tmp_path, "a: \x00\n")
    assert told.startswith("a.yaml: is not YAML (unacceptable character #x0000:")
    assert "\n" not in told


def test_aliases_of_aliases_do_not_fill_the_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert refusal(tmp_path, "\n".join(lines)) == (
        "a.yaml: has more than 100,000 values, aliases counted each time they are used; write a "
        "smaller file"
    )


def test_brackets_without_end_are_told_not_a_stack_overflow(tmp_path: Path) -> None:
    assert refusal(tmp_path, "a: " + "[" * 5000).startswith("a.yaml:")


def test_an_alias_is_its_anchor_written_out(tmp_path: Path) -> None:
    assert read(tmp_path, "a: &x {lr: 1e-3}\nb: *x\n") == {"a": {"lr": 0.001}, "b": {"lr": 0.001}}


def test_a_file_that_is_absent_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"gone\.yaml: no such file; name an existing one$"):
        yaml_document.load_yaml(tmp_path / "gone.yaml")
    with pytest.raises(StudyError) as caught:
        yaml_document.load_yaml(tmp_path)
    why = "is not a regular file"
    assert str(caught.value) == f"{tmp_path}: cannot be read ({why}); name a YAML file"


def test_a_path_with_a_space_and_windows_line_ends_are_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "my grid.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb:\r\n  - c\r\n")
    doc = yaml_document.load_yaml(path)
    assert doc.data == {"a": 1, "b": ["c"]}
    assert doc.where(("b", 0)) == f"{path}:3: b.0"


def test_choices_are_told_with_numbers_in_their_order_before_words() -> None:
    told = nearest("7", ["20", "full", "5", "0.5", "100"], "its values are")
    assert told == "its values are: 0.5, 5, 20, 100, full"


def test_a_mistake_points_to_the_line_of_the_nearest_key_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: x\npretrain:\n  - method: clip\n    lr:\n      - 1\n      - -0.1\n")
    doc = yaml_document.load_yaml(path)
    assert doc.error(("pretrain", 0, "lr", 1), "no") == f"{path}:6: pretrain.0.lr.1: no"
    assert doc.error(("pretrain", 0, "arch"), "no") == f"{path}:3: pretrain.0.arch: no"
    assert doc.error((), "no") == f"{path}:1: no"
