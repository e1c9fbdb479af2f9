"""Say what is wrong in a text that is not YAML, for somebody who does not know YAML's words."""

import re

import yaml

_LONGEST = 60  # letters of a line that a sentence repeats
_INDENT = "align it with the keys that it belongs with, by spaces"
_SPECIAL_SPACE = re.compile("^[ -]*[\u00a0\u2000-\u200b\u202f\u205f\u3000\ufeff]")


def yaml_mistake(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str]:
    """Return the line (from 1) of the mistake, and what it is with the way out."""
    mark = error.problem_mark or error.context_mark
    at = mark.line if mark else 0
    lines = text.splitlines() or [""]
    here = lines[min(at, len(lines) - 1)]
    problem = error.problem or error.context or ""
    if "\\t" in problem:
        return at + 1, "has a tab, where YAML wants spaces; replace each tab by spaces"
    for line in (at, at - 1):
        if 0 <= line < len(lines) and _SPECIAL_SPACE.match(lines[line]):
            return line + 1, "begins with a special space, as copied text has it; write it again"
    if "undefined alias" in problem:
        return at + 1, f"{problem}; write &NAME before the value that *NAME repeats"
    if found := re.match(r"found character '(.)'", problem):
        return at + 1, f"a value cannot begin with {found[1]}; put it in quotes"
    start = error.context_mark
    if start is not None and "quoted scalar" in (error.context or ""):
        return start.line + 1, "a quote has no end; add it, or double a quote that is inside"
    if start is not None and "flow" in (error.context or ""):
        bracket = "[" if "sequence" in (error.context or "") else "{"
        end = "]" if bracket == "[" else "}"
        return start.line + 1, f"the {bracket} has no {end} where it should end; add it"
    if found := re.search(r"but found '([\]}])'", problem):
        return at + 1, f"the {found[1]} has no bracket that begins it; remove it or add one"
    return _of_block(error, at, lines, here)


def _of_block(error: yaml.MarkedYAMLError, at: int, lines: list[str], here: str) -> tuple[int, str]:
    """Tell mistakes of indentation from missing colons, spaces and quotes."""
    problem = error.problem or ""
    if "could not find expected ':'" in problem and error.context_mark is not None:
        line = error.context_mark.line
        return line + 1, _no_key(lines[line])
    if "<scalar>" in problem and re.search(r":\s+['\"]", here):
        return at + 1, "a quote inside the quoted text ends it; put the text in the other quotes"
    above = next((i for i in range(at - 1, -1, -1) if lines[i].strip()), 0)
    before = lines[above]
    if "mapping values are not allowed" in problem:
        if re.match(r"\s*-[^\s-]", before):
            return above + 1, "lacks a space after the dash; write `- KEY: VALUE`"
        if re.fullmatch(r"\s*(?:- *)?[^\s:]+:\S.*", before):
            return above + 1, _no_key(before)
        if _depth(here) > _depth(before) or (_depth(here) and not _is_key(before)):
            return at + 1, f"is indented deeper than the key above it; {_INDENT}"
        return at + 1, "has a second `: ` in its value; put the value in quotes"
    if "sequence entries" in problem:
        return at + 1, "has a `- ` behind a key; begin each entry of a list in a line of its own"
    if "document" in problem and "another" in problem:
        return at + 1, "a second document begins (---); write one grid per file"
    if "block" in problem or "document start" in problem or "but found '?'" in problem:
        return at + 1, f"is not indented as the keys around it are; {_INDENT}"
    return at + 1, f"is not YAML ({problem}); fix that line"


def _no_key(line: str) -> str:
    """Say what a line without `key: value` lacks."""
    written = line.strip().removeprefix("- ")
    if re.match(r"[^\s:]+:\S", written):
        key, _, value = written.partition(":")
        return f"lacks a space after the colon; write `{_pair(key, value)}`"
    if ":" in written:
        return "has a sign that does not belong in a value; put the value in quotes"
    key, _, value = written.partition("=" if "=" in written else " ")
    if len(written.split()) > 3 and "=" not in written:
        return "is neither `KEY: VALUE` nor a comment; a comment begins with #"
    return f"lacks a colon after the key; write `{_pair(key, value)}`"


def _pair(key: str, value: str) -> str:
    key, value = key.strip(), value.strip()
    return f"{key}: {value}" if value and len(key) + len(value) < _LONGEST else "KEY: VALUE"


def _depth(line: str) -> int:
    """Column of the first key of a line, behind a `- `."""
    return len(line) - len(line.lstrip(" -"))


def _is_key(line: str) -> bool:
    return re.search(r":\s*(?:#.*)?$", line) is not None
