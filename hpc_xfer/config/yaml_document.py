"""Read YAML as users expect: 1e-3 is a number, `on` is a word; every value keeps its line.

PyYAML implements YAML 1.1, where `1e-3` is a string, `on` a boolean and `1:30` the number 90.
Scalars here follow the core schema of YAML 1.2, plus `_` between digits.

`${VAR}` is expanded in site files alone: a grid comes from a colleague, or lies in a store where
others write, and would carry a secret of the reader's environment into names, records and reports.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hpc_xfer.config.notation.yaml_mistakes import yaml_mistake
from hpc_xfer.errors import StudyError
from hpc_xfer.system.atomic_files import read_bytes

Loc = tuple[str | int, ...]
ValueOf = Callable[[str], str | None]  # of a variable; None where it is not set

_MOST_BYTES = 16 << 20  # of a file; a large grid has 20 kB
_DEEPEST = 50  # levels of nesting; only an alias to its own parent is deeper
_MOST_VALUES = 100_000  # per file; only aliases of aliases make more
_MOST_MOVES = 5  # a misspelt key of a misspelt default, and so on
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_SHORTEST_SECRET = 4  # letters; a shorter value is found in any sentence by chance
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


_MERGE = "<<"
_OF_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2; it only composes nodes."""


_Loader.yaml_implicit_resolvers = {}
for _tag, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)


@dataclass(frozen=True)
class Document:
    """A parsed file: plain dicts, lists and scalars, and the line (from 1) of each key path."""

    path: Path
    text: str
    data: Any
    lines: dict[Loc, int]
    # Of a site file: texts with variables as they are written, and what each variable became.
    written: dict[Loc, str] = field(default_factory=dict)
    variables: dict[str, str | None] = field(default_factory=dict)
    # Of a grid whose blocks took values from elsewhere: a key path -> where the file has it; and
    # places that are not in the file, but typed as `--set KEY=VALUE`.
    moved: dict[Loc, Loc] = field(default_factory=dict)
    typed: dict[Loc, str] = field(default_factory=dict)

    def where(self, loc: Loc) -> str:
        """Name a key path: `grids/a.yaml:14: pretrain.1.lr`, or `--set pretrain.1.lr=0`."""
        loc = self.written_at(loc)
        for n in range(len(loc), 0, -1):
            if loc[:n] in self.typed:
                return ": ".join([self.typed[loc[:n]], *filter(None, [_dotted(loc[n:])])])
        place = f"{self.path}:{self.line(loc)}"
        return f"{place}: {_dotted(loc)}" if loc else place

    def written_at(self, loc: Loc) -> Loc:
        """Key path in the file of a value that a default, `set` or a corrected key gave."""
        for _ in range(_MOST_MOVES):
            known = [n for n in range(len(loc), 0, -1) if loc[:n] in self.moved]
            if not known:
                break
            loc = self.moved[loc[: known[0]]] + loc[known[0] :]
        return loc

    def line(self, loc: Loc) -> int:
        """Line of the key path, or of its nearest ancestor in the file."""
        loc = self.written_at(loc)
        known = next(loc[:n] for n in range(len(loc), -1, -1) if loc[:n] in self.lines)
        return self.lines[known]

    def error(self, loc: Loc, sentence: str) -> str:
        return f"{self.where(loc)}: {self._without_values(loc, sentence)}"

    def refusal(self, errors: Iterable[tuple[Loc, str]]) -> StudyError:
        """One exception with all errors, each once, in the order of the file."""
        ordered = sorted(errors, key=lambda error: self.line(error[0]))
        return StudyError(*dict.fromkeys(self.error(*error) for error in ordered))

    def _without_values(self, loc: Loc, sentence: str) -> str:
        """Put the text of the file in place of the values that it became: they may be secrets."""
        for place, written in self.written.items():
            if place[: len(loc)] == loc or loc[: len(place)] == place:
                value = self.at(place)
                for shown in (repr(value)[1:-1], value):
                    sentence = sentence.replace(shown, written) if shown else sentence
        values = [repr(each)[1:-1] for each in self.variables.values() if each]
        starts = [value[:_SHORTEST_SECRET] for value in values if len(value) >= _SHORTEST_SECRET]
        if any(start in sentence for start in starts):  # a part of one, where the text was cut
            return "does not fit once its variables have their values; correct it, or the variable"
        return sentence

    def at(self, loc: Loc) -> Any:
        """The value at a key path."""
        found = self.data
        for part in loc:
            found = found[part]
        return found


def load_yaml(path: Path, text: str | None = None, value_of: ValueOf | None = None) -> Document:
    """Read a YAML mapping.

    Args:
        text: the content of `path` at an earlier time, instead of reading it now; `${VAR}` in it
            is no variable.
        value_of: expands `${VAR}`; without it a file of today that names a variable is refused.

    Raises:
        StudyError: the file is missing, empty or not a YAML mapping; or it has a duplicate key or
            an unset variable.
    """
    is_literal = text is not None and value_of is None
    text = _read(path) if text is None else text
    root = _compose(path, text)
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        raise StudyError(f"{path}: is empty; see grids/ for examples")
    if not isinstance(root, yaml.MappingNode):
        raise StudyError(f"{path}:1: must be a mapping of keys to values; see grids/ for examples")
    reader = _Reader(path, value_of, is_literal)
    data = reader.value(root, ())
    if reader.errors:
        raise StudyError(*reader.errors)
    return Document(path, text, data, reader.lines, reader.written, reader.variables)


def _read(path: Path) -> str:
    try:
        data = read_bytes(path, _MOST_BYTES, follow=True)
        return data.decode()
    except FileNotFoundError:
        raise StudyError(f"{path}: no such file; name an existing one") from None
    except UnicodeDecodeError:
        what = "is not a text file;"
        if data.startswith(_OF_UTF_16) or b"\0" not in data:
            what = "is not text in UTF-8; save it as UTF-8, or"
        raise StudyError(f"{path}: {what} name a YAML file") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise StudyError(f"{path}: cannot be read ({why}); name a YAML file") from None


def _compose(path: Path, text: str) -> yaml.Node | None:
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
        return root
    except yaml.MarkedYAMLError as error:
        line, what = yaml_mistake(error, text)
        raise StudyError(f"{path}:{line}: {what}") from None
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        raise StudyError(f"{path}: is not YAML ({why}); name a YAML file") from None
    except RecursionError:
        raise StudyError(f"{path}: is nested too deeply; see grids/ for examples") from None


def load_value(text: str, place: str) -> Any:
    """Read one value as a file would have it: `4`, `1e-3`, `[0, 1]`, `{1: 5}`.

    Raises:
        StudyError: it is no YAML; the sentence begins with `place`.
    """
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError):
        raise StudyError(f"{place}: is not a value of YAML; put the text in quotes") from None
    reader = _Reader(Path(place), None, False)
    value = None if root is None else reader.value(root, ())
    if reader.errors:
        raise StudyError(*reader.errors)
    return value


def _without_format(key: str) -> str:
    """Leave out letters that nobody sees, such as a space of no width."""
    return "".join(letter for letter in key if unicodedata.category(letter) != "Cf")


def _dotted(loc: Loc) -> str:
    return ".".join(map(str, loc))


class _Reader:
    def __init__(self, path: Path, value_of: ValueOf | None, is_literal: bool) -> None:
        self.path, self.value_of, self.is_literal = path, value_of, is_literal
        self.written: dict[Loc, str] = {}
        self.variables: dict[str, str | None] = {}
        self.lines: dict[Loc, int] = {(): 1}
        self.errors: list[str] = []
        self.values = 0

    def value(self, node: yaml.Node, loc: Loc) -> Any:
        self.lines.setdefault(loc, node.start_mark.line + 1)
        self.values += 1
        if self.values > _MOST_VALUES:
            raise StudyError(
                f"{self.path}: has more than {_MOST_VALUES:,} values, aliases counted each time "
                "they are used; write a smaller file"
            )
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
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.fail(line, loc, "a list or mapping cannot be a key; write a word")
                continue
            key = str(key_node.value)
            here = (*loc, key)
            if key in seen:
                self.fail(line, here, "duplicate key; keep one of the two")
            if key == _MERGE and key_node.style is None:
                more = ", or share them by `defaults`" if self.value_of is None else ""
                self.fail(line, loc, f"keys cannot be merged by <<; write them out{more}")
                continue
            if key != key.strip():  # by letters that YAML takes for no spaces
                why = "begins or ends with a special space, as copied text has it"
                self.fail(line, here, f"{why}; write it again")
            elif not key.isascii() and _without_format(key).isascii():
                why = "has a sign that is not seen, as copied text has it"
                self.fail(line, here, f"{why}; write it again")
            seen.add(key)
            self.lines[here] = line
            yield key, self.value(value_node, here)

    def scalar(self, node: yaml.Node, loc: Loc) -> Any:
        text = str(node.value)
        tag = str(node.tag).removeprefix("tag:yaml.org,2002:")
        match tag:
            case "str":
                return self.expanded(text, loc)
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" | "float":
                return self.number(tag, text, loc)
            case _:
                self.fail(self.lines[loc], loc, f"the tag {tag} is not supported; remove it")
                return None

    def number(self, tag: str, text: str, loc: Loc) -> int | float | None:
        plain = text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan")
        try:
            return int(plain) if tag == "int" else float(plain)
        except ValueError:  # an explicit tag, or more digits than Python reads
            self.fail(self.lines[loc], loc, f"is not a number: {text[:40]}; write it in digits")
            return None

    def expanded(self, text: str, loc: Loc) -> str:
        """Replace `${VAR}` and `${VAR:-default}` by values; in a grid they are no variables."""
        if self.is_literal or (found := _VARIABLE.search(text)) is None:
            return text
        if self.value_of is None:
            what = f"${{{found[1][:40]}}} is not expanded here, but in site files alone"
            self.fail(self.lines[loc], loc, f"{what}; write the value itself")
            return text
        self.written[loc] = text
        return _VARIABLE.sub(lambda match: self.variable(match, loc), text)

    def variable(self, match: re.Match[str], loc: Loc) -> str:
        """The value of a variable, else its default; an empty one counts as not set."""
        assert self.value_of is not None
        name, default = match.groups()
        value = self.variables[name] = self.value_of(name) or None
        if value is None and default is None:
            why = (
                f"the environment variable {name} is not set; set it or write ${{{name}:-default}}"
            )
            self.fail(self.lines[loc], loc, why)
        return value or default or ""

    def fail(self, line: int, loc: Loc, sentence: str) -> None:
        place = f"{self.path}:{line}: {'.'.join(map(str, loc))}" if loc else f"{self.path}:{line}"
        self.errors.append(f"{place}: {sentence}")
