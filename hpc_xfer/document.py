"""YAML as a user means it: 1e-3 is a number, `on` is a word, and every value knows its line.

PyYAML speaks YAML 1.1, where `1e-3` is a string, `on` a boolean and `1:30` the number 90. Scalars
here follow YAML 1.2's core schema, plus `_` between digits.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hpc_xfer.errors import StudyError

Loc = tuple[str | int, ...]

_DEEPEST = 50  # levels of nesting; only an alias to its own parent goes deeper
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_SCALARS = {
    "tag:yaml.org,2002:null": (r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    "tag:yaml.org,2002:bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    "tag:yaml.org,2002:int": (r"^[-+]?[0-9][0-9_]*$", list("-+0123456789")),
    "tag:yaml.org,2002:float": (
        r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?$"
        r"|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$",
        list("-+0123456789."),
    ),
}


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2; it only composes nodes, it constructs nothing."""


_Loader.yaml_implicit_resolvers = {}
for _tag, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)


@dataclass(frozen=True)
class Document:
    """A parsed file: plain dicts, lists and scalars, and the line of each key path (from 1)."""

    path: Path
    data: Any
    lines: dict[Loc, int]

    def where(self, loc: Loc) -> str:
        """`grids/a.yaml:14: pretrain.1.lr`, with the line of the nearest ancestor that is there."""
        known = next(loc[:n] for n in range(len(loc), -1, -1) if loc[:n] in self.lines)
        place = f"{self.path}:{self.lines[known]}"
        return f"{place}: {'.'.join(map(str, loc))}" if loc else place

    def error(self, loc: Loc, sentence: str) -> str:
        return f"{self.where(loc)}: {sentence}"


def load(path: Path) -> Document:
    """Read a YAML mapping.

    Raises:
        StudyError: no such file, not YAML, empty, not a mapping, a key twice, an unset variable.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise StudyError(f"{path}: no such file; name an existing one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: cannot be read ({error}); name a YAML file") from None
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise StudyError(
            f"{path}:{line}: is not YAML ({error.problem or error.context}); mend that line"
        ) from None
    except yaml.YAMLError as error:
        raise StudyError(f"{path}: is not YAML ({error}); name a YAML file") from None
    if root is None:
        raise StudyError(f"{path}: is empty; see grids/ for examples")
    if not isinstance(root, yaml.MappingNode):
        raise StudyError(f"{path}:1: must be a mapping of keys to values; see grids/ for examples")
    reader = _Reader(path)
    data = reader.value(root, ())
    if reader.errors:
        raise StudyError("\n".join(reader.errors))
    return Document(path, data, reader.lines)


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Loc, int] = {(): 1}
        self.errors: list[str] = []

    def value(self, node: yaml.Node, loc: Loc) -> Any:
        self.lines.setdefault(loc, node.start_mark.line + 1)
        if len(loc) > _DEEPEST:
            raise StudyError(
                f"{self.path}:{self.lines[loc]}: an alias refers to its own parent; write it out"
            )
        if isinstance(node, yaml.MappingNode):
            return dict(self.pairs(node, loc))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*loc, i)) for i, item in enumerate(node.value)]
        return self.scalar(node, loc)

    def pairs(self, node: yaml.MappingNode, loc: Loc) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*loc, key)
            line = key_node.start_mark.line + 1
            if key in seen:
                self.fail(line, here, "stands twice; keep one of the two")
            seen.add(key)
            self.lines[here] = line
            yield key, self.value(value_node, here)

    def scalar(self, node: yaml.Node, loc: Loc) -> Any:
        text = str(node.value)
        match node.tag.rpartition(":")[2]:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text.replace("_", ""))
            case "float":
                return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
            case _:
                return self.expanded(text, loc)

    def expanded(self, text: str, loc: Loc) -> str:
        """`${VAR}` and `${VAR:-default}` from the environment."""

        def one(match: re.Match[str]) -> str:
            name, default = match.groups()
            value = os.environ.get(name) or default
            if value is None:
                self.fail(
                    self.lines[loc],
                    loc,
                    f"the environment variable {name} is not set; set it or write "
                    f"${{{name}:-default}}",
                )
                return ""
            return value

        return _VARIABLE.sub(one, text)

    def fail(self, line: int, loc: Loc, sentence: str) -> None:
        self.errors.append(f"{self.path}:{line}: {'.'.join(map(str, loc))}: {sentence}")
