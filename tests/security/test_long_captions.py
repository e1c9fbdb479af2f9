"""Captions of any length become tokens in no time, and those of ordinary ones stay the same."""

import random
import string
import subprocess
import sys

import open_clip
import pytest
import torch

from hpc_xfer.compute.models.word_tokenizer import LONGEST, CutCaptions, WordTokenizer, joined


@pytest.fixture(scope="module")
def theirs() -> open_clip.SimpleTokenizer:
    return open_clip.SimpleTokenizer()


_CODE = """
import random, string, sys
import open_clip
from hpc_xfer.compute.models.word_tokenizer import WordTokenizer
letters = "".join(random.Random(0).choices(string.ascii_lowercase, k=128_000))
tokenizer = WordTokenizer(open_clip.SimpleTokenizer())
for caption in (letters, "a" * 1_000_000, "&amp;" * 200_000, "é\\n" * 500_000, "日本" * 500_000):
    print(tuple(tokenizer([caption]).shape))
"""


def test_a_word_of_128_000_letters_becomes_tokens_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CODE], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "(1, 77)\n" * 5


def test_pairs_are_joined_as_open_clip_joins_them(theirs: open_clip.SimpleTokenizer) -> None:
    rng = random.Random(1)
    parts = [part.removesuffix("</w>") for part in theirs.encoder]
    for _ in range(300):
        for letters in ("ab", string.ascii_lowercase, "".join(theirs.byte_encoder.values()), parts):
            spelled = "".join(rng.choices(letters, k=rng.randint(1, 80)))
            assert joined(spelled, theirs.bpe_ranks) == theirs.bpe(spelled).split(" ")


def test_a_pair_has_a_higher_rank_than_the_pairs_of_its_parts(
    theirs: open_clip.SimpleTokenizer,
) -> None:
    """Pairs may be joined in any order for this reason, and because no two give the same part."""
    ranks = {first + second: rank for (first, second), rank in theirs.bpe_ranks.items()}
    assert len(ranks) == len(theirs.bpe_ranks)
    for pair, rank in theirs.bpe_ranks.items():
        assert all(ranks.get(part, -1) < rank for part in pair)


def test_75_tokens_have_far_fewer_letters_than_are_read(
    theirs: open_clip.SimpleTokenizer,
) -> None:
    assert 75 * max(map(len, theirs.encoder)) <= LONGEST / 4


@pytest.mark.parametrize("length", [10, 100, 500, 3000, 9000])
def test_captions_below_the_limit_have_the_tokens_of_open_clip(
    theirs: open_clip.SimpleTokenizer, length: int
) -> None:
    rng = random.Random(length)
    words = [
        "a",
        "photo",
        "of",
        "the",
        "dog's",
        "snow!",
        "日本語の",
        "naïve",
        "x" * 90,
        "&lt;",
        "#1",
    ]
    captions: list[str] = []
    while len(captions) < 20:
        text = " ".join(rng.choices(words, k=length))[:length]
        captions.append(text)
    assert torch.equal(WordTokenizer(theirs)(captions), theirs(captions))


def test_other_tokenizers_get_the_first_part_of_a_caption() -> None:
    seen: list[str] = []

    def tokenize(captions: list[str]) -> torch.Tensor:
        seen.extend(captions)
        return torch.zeros(len(captions), 77)

    CutCaptions(tokenize)(["a dog", "b" * 1_000_000])
    assert seen == ["a dog", "b" * LONGEST]
