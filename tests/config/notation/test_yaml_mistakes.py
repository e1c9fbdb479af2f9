"""What is not YAML is told to somebody who does not know YAML's words."""

from pathlib import Path

import pytest

from hpc_xfer.config.yaml_document import load_yaml
from hpc_xfer.errors import StudyError

ALIGN = "align it with the keys that it belongs with, by spaces"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            ["pretrain:", "\t- method: clip"],
            "2: has a tab, where YAML wants spaces; replace each tab by spaces",
        ),
        (
            ["pretrain:", "  - method: clip", "    lr:\t1e-3"],
            "3: has a tab, where YAML wants spaces; replace each tab by spaces",
        ),
        (
            ["pretrain:", "  - method: clip", "      arch: RN50"],
            f"3: is indented deeper than the key above it; {ALIGN}",
        ),
        (
            ["pretrain:", "  - method: clip", "   arch: RN50"],
            f"3: is not indented as the keys around it are; {ALIGN}",
        ),
        (
            ["pretrain:", "  - method: clip", "  arch: RN50"],
            f"3: is not indented as the keys around it are; {ALIGN}",
        ),
        (
            ["resources:", "  pretrain: {gpus: 8}", " finetune: {gpus: 1}"],
            f"3: is not indented as the keys around it are; {ALIGN}",
        ),
        (["name: x", " question: y"], f"2: is indented deeper than the key above it; {ALIGN}"),
        (["  name: x", "a: y"], f"2: is not indented as the keys around it are; {ALIGN}"),
        (
            ["pretrain:", "  -method: clip", "   arch: RN50"],
            "2: lacks a space after the dash; write `- KEY: VALUE`",
        ),
        (
            ["pretrain:", "  - method: clip", "    batch:1024", "    lr: 1e-3"],
            "3: lacks a space after the colon; write `batch: 1024`",
        ),
        (
            ["pretrain:", "  - method:clip", "    arch: RN50"],
            "2: lacks a space after the colon; write `method: clip`",
        ),
        (
            ["pretrain:", "  - method: clip", "    batch 1024", "    lr: 1e-3"],
            "3: lacks a colon after the key; write `batch: 1024`",
        ),
        (
            ["pretrain:", "  - method: clip", "    batch = 1024"],
            "3: lacks a colon after the key; write `batch: 1024`",
        ),
        (
            ["name: x", "more data helps more", "seed: 1"],
            "2: is neither `KEY: VALUE` nor a comment; a comment begins with #",
        ),
        (
            ["pretrain: - method: clip"],
            "1: has a `- ` behind a key; begin each entry of a list in a line of its own",
        ),
        (
            ["name: x", "question: Is it so: or not?"],
            "2: has a second `: ` in its value; put the value in quotes",
        ),
        (["seed: [0, 1", "arch: RN50"], "1: the [ has no ] where it should end; add it"),
        (["a: {b: 1", "c: {d: 2}"], "1: the { has no } where it should end; add it"),
        (["a: ]"], "1: the ] has no bracket that begins it; remove it or add one"),
        (
            ["question: 'Doesn't it?'"],
            "1: a quote inside the quoted text ends it; put the text in the other quotes",
        ),
        (
            ["question: 'Does it?", "pretrain: 3"],
            "1: a quote has no end; add it, or double a quote that is inside",
        ),
        (["question: @home?"], "1: a value cannot begin with @; put it in quotes"),
        (
            ["a: *nine"],
            "1: found undefined alias 'nine'; write &NAME before the value that *NAME repeats",
        ),
        (["a: 1", "---", "b: 2"], "2: a second document begins (---); write one grid per file"),
        (
            ["a:", "\u00a0 b: 1"],
            "2: \u00a0 b: begins or ends with a special space, as copied text has it; "
            "write it again",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_plain_words(lines: list[str], sentence: str) -> None:
    with pytest.raises(StudyError) as caught:
        load_yaml(Path("a.yaml"), "\n".join(lines) + "\n")
    assert str(caught.value) == f"a.yaml:{sentence}"
