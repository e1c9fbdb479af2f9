"""Text of others is shown as text: a terminal obeys nothing in it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_xfer.system.screen.plain_text import plain

OBEYED = {"Cc", "Cs", "Zl", "Zp"}


def test_a_clean_text_stays_as_it_is() -> None:
    text = "größe 5 = 3: /data/a b/[x] 猫 🐈 -> \\n"
    assert plain(text) is text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b31m", r"\x9b31m"),
        ("a\rb\x07\x00\x7f", r"a\rb\x07\x00\x7f"),
        ("a\nb\tc", r"a\nb\tc"),
        ("gpj\u202eexe", r"gpj\u202eexe"),
        ("\u2066\u200f\u061c", r"\u2066\u200f\u061c"),
        ("a\u2028b\u2029\x85", r"a\u2028b\u2029\x85"),
        ("\udc80", r"\udc80"),
        ("\ufeffad\u200bmin", r"\ufeffad\u200bmin"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_shown(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_lines_stay_where_they_are_asked_for() -> None:
    assert plain("a\n\tb\r\n\x1b", lines=True) == "a\n\tb\\r\n\\x1b"


def test_a_long_text_is_cut() -> None:
    assert plain("a" * 1_000, most=10) == "aaaaaaa..."
    assert plain("a" * 10, most=10) == "a" * 10
    assert plain("\x1b" * 10, most=10) == r"\x1b\x1..."


@given(st.text(st.characters(codec=None)), st.booleans())
def test_any_text_is_shown_in_letters_alone(text: str, lines: bool) -> None:
    shown = plain(text, lines=lines)
    kept = {"\n", "\t"} if lines else set()
    assert not [c for c in shown if unicodedata.category(c) in OBEYED and c not in kept]
    assert plain(shown, lines=lines) == shown
    shown.encode()
