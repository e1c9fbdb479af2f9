"""A spreadsheet shows cells of a CSV as text, and what is read back is what was written."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpc_xfer.results.tables.spreadsheet_cells import guarded, original

LETTERS = st.one_of(st.sampled_from("=+-@;\t\r\n'\" 15.e\uff1d\ufeff\xa0"), st.characters())


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "'=1",
     '"=1', "-", "+", "-0.5 to 3", "\uff1d1", "--", "-1,5"],
)  # fmt: skip
def test_what_begins_like_a_formula_is_marked_as_text(text: str) -> None:
    assert guarded(text).startswith("'")
    assert original(guarded(text)) == text


@pytest.mark.parametrize(
    "text", ["", "clip sans 8k", "-0.5", "+3", "-1e-05", "-inf", "1e-3", "a=b", "a-b", "a;b", "'a"]
)
def test_a_number_or_a_plain_name_stays(text: str) -> None:
    assert guarded(text) == text == original(text)


@pytest.mark.parametrize("text", ["a;=cmd|x", "a; @x", "1;-2+3", "a\t=1"])
def test_a_cell_begins_after_a_semicolon_too_in_some_countries(text: str) -> None:
    assert guarded(text) == text.replace(";", ";'").replace("\t", "\t'")
    assert original(guarded(text)) == text


@pytest.mark.parametrize("text", ["a\n=cmd|x", "a\r@x", "1\n-2+3"])
def test_a_row_begins_after_a_line_break_there_since_quotes_are_letters(text: str) -> None:
    assert guarded(text) == text.replace("\n", "\n'").replace("\r", "\r'")
    assert original(guarded(text)) == text


@given(st.text(LETTERS))
@example("'-5")
@example("''=")
@example("\t\t=")
@example(";';=")
def test_any_text_is_read_back(text: str) -> None:
    assert original(guarded(text)) == text


@given(st.text(LETTERS), st.sampled_from("=+-@"))
def test_no_cell_begins_with_a_sign_but_a_number(text: str, sign: str) -> None:
    shown = guarded(sign + text)
    if shown[0] == sign:
        assert float(shown) is not None
