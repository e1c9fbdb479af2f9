"""Released weights that open_clip knows by a tag: read from its source, which is not executed.

    tags("RN50")                  # {"openai": Tag("timm/resnet50_clip.openai"), ...}
    unknown_tag("RN50", "openia", tags("RN50"))      # the sentence for a tag that it lacks

Importing open_clip takes 7.6 s, and torch. Where a later version writes its list in another form,
nothing is known, and a tag is looked up where its run executes.
"""

import ast
import difflib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hpc_xfer.config.architectures import open_clip_folder

_LIST = "_PRETRAINED"  # of open_clip/pretrained.py: architecture -> tag -> settings
_QUICK = "-quickgelu"
_MOST_TAGS = 3  # of those that are nearest


@dataclass(frozen=True)
class Tag:
    """A set of released weights, as open_clip lists it."""

    repository: str  # on the Hugging Face hub; "" where it has them elsewhere
    quick_gelu: bool = False  # then open_clip offers them for the architecture with -quickgelu too

    def is_fetched(self, environment: Mapping[str, str]) -> bool:
        """Say whether the hub's client has kept a copy, for a process with these variables.

        A copy may be unfinished; the run that reads it says so.
        """
        folder = hub_folder(environment) / ("models--" + self.repository.replace("/", "--"))
        return any((folder / "snapshots").glob("*/*"))


class _OtherForm(Exception):
    """The list is not written as in the versions that we know."""


def tags(arch: str) -> Mapping[str, Tag] | None:
    """Return the tags of an architecture; None where open_clip's list cannot be read."""
    known = _known()
    return None if known is None else known.get(arch, {})


def unknown_tag(arch: str, tag: str, known: Collection[str]) -> str:
    """Say that an architecture has no such weights, and which it has."""
    close = difflib.get_close_matches(tag, known, n=_MOST_TAGS, cutoff=0.0)
    more = len(known) - len(close)
    listed = ", ".join(close) + (f" and {more} more" if more else "") if known else "none"
    way = "name one of these, or add" if known else "add"
    return (
        f"{arch} has no released weights {tag!r} (known: {listed}); {way} a file to `released` in "
        "the site file"
    )


def fetch_command(arch: str, tag: str) -> str:
    """Return the command that fetches weights."""
    return f"python -c \"import open_clip; open_clip.create_model('{arch}', pretrained='{tag}')\""


def hub_folder(environment: Mapping[str, str]) -> Path:
    """Return where the Hugging Face hub's client keeps files for a process with these variables.

    The client tells it for its own process alone, and a job may have other variables.
    """
    if named := environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE"):
        return Path(os.path.expanduser(named))
    cache_folder = environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    home = environment.get("HF_HOME") or f"{cache_folder}/huggingface"
    return Path(os.path.expanduser(home)) / "hub"


@cache
def _known() -> Mapping[str, Mapping[str, Tag]] | None:
    try:
        text = (open_clip_folder() / "pretrained.py").read_text(encoding="utf-8")
        return read_tags(text)
    except (OSError, ValueError):  # of decoding too
        return None


def read_tags(source: str) -> Mapping[str, Mapping[str, Tag]] | None:
    """Read the list from the text of open_clip/pretrained.py; None where it has another form."""
    try:
        values = {
            node.targets[0].id: node.value
            for node in ast.parse(source).body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        listed = {arch: dict(_tags(value, values)) for arch, value in _items(values[_LIST])}
    except (SyntaxError, KeyError, _OtherForm):
        return None
    quick = {
        arch + _QUICK: {name: tag for name, tag in found.items() if tag.quick_gelu}
        for arch, found in listed.items()
    }
    return listed | {arch: found for arch, found in quick.items() if found}


def _tags(node: ast.expr, values: Mapping[str, ast.expr]) -> Iterator[tuple[str, Tag]]:
    if isinstance(node, ast.Name):
        node = values[node.id]
    for name, settings in _items(node):
        found = dict(_items(settings))
        repository = _text(found["hf_hub"]).rpartition("/")[0] if "hf_hub" in found else ""
        quick = found.get("quick_gelu")
        yield name, Tag(repository, isinstance(quick, ast.Constant) and quick.value is True)


def _items(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Yield keys and values of a dict, or of a call with keywords alone."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                raise _OtherForm
            yield _text(key), value
    elif isinstance(node, ast.Call) and not node.args:
        for keyword in node.keywords:
            if keyword.arg is None:
                raise _OtherForm
            yield keyword.arg, keyword.value
    else:
        raise _OtherForm


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise _OtherForm
