"""A message shows paths of the store from there on, and of others the last part alone."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_xfer.results.parts.local_paths import hidden, shortened

STORE = Path("/scratch/me/store")


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("/data/laion/0.tar: broken", ".../0.tar: broken"),
        ("/scratch/me/store/runs/ab/record.json: cut", "runs/ab/record.json: cut"),
        ("in '/home/a b/x.py', line 3", "in '.../x.py', line 3"),
        ("path=/home/me/x.", "path=.../x."),
        ("node1:/home/me/x", "node1:.../x"),
        ("file:///home/me/x", ".../x"),
        ("//server/share/x", ".../x"),
        ("~/data/x and ~me/y and ../secret/z", ".../x and .../y and .../z"),
        ("open(/etc/x)", "open(.../x)"),
    ],
)
def test_a_path_is_shortened(text: str, short: str) -> None:
    assert shortened(text, STORE) == short


@pytest.mark.parametrize(
    "text", ["ViT-B/16 of a/b.tar", "and/or", "https://example.org/a", "1 / 2", "", "no path"]
)
def test_what_is_no_path_stays(text: str) -> None:
    assert shortened(text, STORE) == text == hidden(text)


@given(st.text(st.sampled_from("/ab~.: '\"(")))
def test_no_folder_is_left_of_any_text(text: str) -> None:
    told = hidden(f"{text} /home/secret/x")
    assert "secret" not in told or "secret" in text
