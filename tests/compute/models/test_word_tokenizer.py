"""Captions become the tokens that open_clip makes of them."""

import random

import open_clip
import pytest
import torch

from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.models.word_tokenizer import WordTokenizer

CAPTIONS = [
    "",
    "   ",
    "A photo of two  dogs, 17!",
    "the dog's bowl isn't full &amp; it&#39;s \u201ccurly\u201d",
    "UPPER <b>case</b> <start_of_text> x<end_of_text>y",
    "word " * 90 + "end",
    "\t tab\nline \x1c caf\u00e9",
    "'s 're don't 12345 ... ?!?",
    "a&lt;b a_b-c a&amp;lt;b",
    "\u00dcn\u00efcode \u0130stanbul \u01c5 \u65e5\u672c\u8a9e \u2603",
    "\ufb01ne\u00a0space\u2028line",
]


@pytest.fixture(scope="module")
def plain() -> open_clip.SimpleTokenizer:
    return open_clip.SimpleTokenizer(context_length=16)


@pytest.fixture(scope="module")
def ours() -> WordTokenizer:
    return WordTokenizer(open_clip.SimpleTokenizer(context_length=16))


def test_tokens_equal_those_of_open_clip(
    ours: WordTokenizer, plain: open_clip.SimpleTokenizer
) -> None:
    for captions in (CAPTIONS, CAPTIONS, []):  # words are new, then known
        assert torch.equal(ours(captions), plain(captions))
        assert ours(captions).dtype == torch.int64


@pytest.mark.parametrize("last", [126, 0x24F], ids=["ASCII", "with repairs"])
def test_any_characters_give_the_tokens_of_open_clip(
    last: int, ours: WordTokenizer, plain: open_clip.SimpleTokenizer
) -> None:
    rng = random.Random(last)
    captions = [
        "".join(chr(rng.randint(1, last)) for _ in range(rng.randint(0, 40))) for _ in range(300)
    ]
    assert torch.equal(ours(captions), plain(captions))


def test_a_tokenizer_forgets_words_and_gives_the_same_tokens() -> None:
    ours = WordTokenizer(open_clip.SimpleTokenizer(context_length=8), kept=100)
    plain = open_clip.SimpleTokenizer(context_length=8)
    for number in range(150):
        caption = f"<start_of_text> word{chr(97 + number % 26)}{chr(97 + number // 26)} again"
        assert torch.equal(ours([caption]), plain([caption]))
        assert len(ours.tokenizer.cache) <= 102
    assert len(plain.cache) > 150


def test_encoders_of_open_clip_read_captions_this_way() -> None:
    assert isinstance(encoders.tokenizer("RN50"), WordTokenizer)
