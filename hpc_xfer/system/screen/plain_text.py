r"""Show text of others as text: nothing in it moves a cursor, paints a screen or hides a letter.

    plain("a\x1b[2Jb\u202ec")  ->  r"a\x1b[2Jb\u202ec"

Names of files, nodes and classes, messages of errors and texts of Slurm come from other people's
hands. A terminal obeys the control characters in them, and shows letters after a bidirectional
override in another order than a file has them.
"""

import re

# Control characters (C0, DEL, C1), what turns the direction of writing, what is not seen (soft
# hyphen, zero-width letters, byte order mark, tags), separators of lines and paragraphs, halves of
# surrogate pairs. Joiners (200C, 200D) are among them: they make two names that look the same.
_HIDDEN = (
    r"\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    r"\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
_IN_A_LINE = re.compile(rf"[\x00-\x1f{_HIDDEN}]")
_IN_LINES = re.compile(rf"[\x00-\x08\x0b-\x1f{_HIDDEN}]")
_NAMED = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}
_CUT = "..."


def plain(text: str, lines: bool = False, most: int = 0) -> str:
    """Return text with escapes in place of the characters that a terminal would obey or hide.

    Args:
        text: of anybody.
        lines: keep line breaks and tabs, as a traceback needs; else they are shown as escapes.
        most: cut what is longer than so many characters, and end it in `...`; 0 cuts nothing.
    """
    if most and len(text) > most:
        return _escaped(text[:most], lines)[: most - len(_CUT)] + _CUT
    shown = _escaped(text, lines)
    return shown if not most or len(shown) <= most else shown[: most - len(_CUT)] + _CUT


def _escaped(text: str, lines: bool) -> str:
    refused = _IN_LINES if lines else _IN_A_LINE
    return refused.sub(_escape, text) if refused.search(text) else text


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    if named := _NAMED.get(character):
        return named
    code = ord(character)
    if code < 0x100:
        return rf"\x{code:02x}"
    return rf"\u{code:04x}" if code < 0x10000 else rf"\U{code:08x}"
