"""Class names and prompts that a user states: in the site file, or in `classes.json`.

    words = stated_words("mine", place)
    words.for_classes(("n01440764", "n01443537"))      # ("tench", "goldfish")

`classes.json` lies beside the data. It holds a list in the order of labels, or an object of folder
and name; or an object with `classes`, one of the two, and `templates`, a list of prompts. What the
site file states wins.
"""

import difflib
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_xfer.config.dataset_cards import prompt
from hpc_xfer.config.dataset_forms.image_folder import class_name
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.errors import DataError, StudyError, XferError
from hpc_xfer.system import atomic_files
from hpc_xfer.system.screen.plain_text import plain

FILE = "classes.json"
_FORM = 'write a list of names in the order of labels, or {"folder": "name", ...}'
_FEW = 10  # items that a message shows
_LONGEST = 40  # letters of them
_MOST_BYTES = 16 << 20  # of a file; a million names of 16 letters
_MOST_NAMES = 1_000_000
_MOST_NAME = 1000  # characters
_SITE = "class_names in the site file"


@dataclass(frozen=True)
class StatedWords:
    """Names and prompts that are stated for one data set; empty where nothing is."""

    dataset: str
    names: tuple[str, ...] = ()  # in the order of labels
    by_folder: tuple[tuple[str, str], ...] = ()  # folder, name
    templates: tuple[str, ...] = ()
    file: Path | None = None  # where the names stand; None: in the site file
    notes: tuple[str, ...] = ()

    @property
    def has_names(self) -> bool:
        return bool(self.names or self.by_folder)

    @property
    def in_order(self) -> tuple[str, ...]:
        """The names in the order of labels, where that needs no folders: `{"0": ..., "1": ...}`."""
        numbered = dict(self.by_folder)
        if self.names or numbered.keys() != {str(i) for i in range(len(numbered))}:
            return self.names
        return tuple(numbered[str(i)] for i in range(len(numbered)))

    def for_classes(self, folders: Sequence[str]) -> tuple[str, ...]:
        """Return the name of each class; without a statement, its folder's name as words.

        Raises:
            XferError: the statement does not fit the classes.
        """
        own = tuple(map(class_name, folders))
        names = self._named(folders) if self.has_names else own
        repeats = self.file is not None and tuple(map(class_name, names)) == own
        return own if repeats else names

    def say_more_than(self, folders: Sequence[str]) -> bool:
        """False where nothing is stated, or a file lists the folders, as many trainings leave it.

        Raises:
            XferError: as `for_classes`.
        """
        own = tuple(map(class_name, folders))
        return self.has_names and (self.file is None or self.for_classes(folders) != own)

    def _named(self, folders: Sequence[str]) -> tuple[str, ...]:
        named = dict(self.by_folder)
        if named and named.keys() == set(folders):
            return tuple(named[folder] for folder in folders)
        if self.in_order:
            return self._checked_list(folders)
        raise self._wrong_keys(named.keys() - set(folders), set(folders) - named.keys())

    def remarks(self, folders: Sequence[str]) -> list[str]:
        """Say where the names come from, and what may be wrong with their order."""
        found = list(self.notes)
        if self.file is not None and self.say_more_than(folders):
            first = self.for_classes(folders)[0]
            told = f"class names come from {self.file}, the first {folders[0]!r} is {first!r}"
            found.append(told)
        if self.names and _sorts_as_text(folders):
            i = next(i for i, folder in enumerate(folders) if int(folder) != int(folders[0]) + i)
            found.append(
                f"folders are sorted as text, so folder {folders[i]!r} is class {i}, called "
                f"{self.names[i]!r}; write {{folder: name}} instead of a list to be sure"
            )
        if swapped := self._names_of_others(folders):
            i = swapped[0]
            found.append(
                f"{len(swapped):,} of {len(folders):,} stated names belong to other folders, the "
                f"first {self.for_classes(folders)[i]!r} for folder {folders[i]!r}; is the "
                "order right?"
            )
        return found

    def _names_of_others(self, folders: Sequence[str]) -> list[int]:
        """Numbers of the classes whose stated name is that of another folder."""
        plain = [class_name(folder).casefold() for folder in folders]
        names = [class_name(name).casefold() for name in self.for_classes(folders)]
        pairs = enumerate(zip(names, plain, strict=True))
        return [i for i, (name, own) in pairs if name != own and name in plain]

    def _checked_list(self, folders: Sequence[str]) -> tuple[str, ...]:
        names = self.in_order
        if len(names) != len(folders):
            if self.file is None:
                raise StudyError(
                    f"data set {self.dataset!r} has {len(folders)} classes, but the site file has "
                    f"{len(names)} class_names; write one per class, in the order of labels"
                )
            raise DataError(
                f"{self.file}: has {len(names)} names, but there are {len(folders)} classes; write "
                "one per class, in the order of labels"
            )
        plain = [class_name(folder).casefold() for folder in folders]
        stated = [class_name(name).casefold() for name in names]
        if self.names and stated != plain and sorted(stated) == sorted(plain):
            i = next(i for i, name in enumerate(stated) if name != plain[i])
            raise self._error(
                f"has the names of the folders in another order: {names[i]!r} is at the place of "
                f"folder {folders[i]!r}; labels follow the sorted folders, so sort the names so, "
                "or write {folder: name}"
            )
        return names

    def _wrong_keys(self, unknown: set[str], missing: set[str]) -> XferError:
        if unknown:
            key = sorted(unknown)[0]
            close = difflib.get_close_matches(key, sorted(missing), n=1)
            hint = f"did you mean {close[0]!r}?" if close else "correct or remove it"
            return self._error(f"names {key!r}, which is not a class of the data set; {hint}")
        key = sorted(missing)[0]
        more = f" ({len(missing):,} are missing)" if len(missing) > 1 else ""
        return self._error(f"has no name for class {key!r}{more}; add one for each class")

    def _error(self, sentence: str) -> XferError:
        if self.file is None:
            return StudyError(f"data set {self.dataset!r}: {_SITE} {sentence}")
        return DataError(f"{self.file}: {sentence}")


def stated_words(dataset: str, place: Location) -> StatedWords:
    """Return what the site file and `classes.json` state for a data set.

    Raises:
        DataError: `classes.json` cannot be used; the sentence says why.
    """
    in_site = StatedWords(dataset, place.class_names, place.names_by_folder, place.templates)
    path = file_of(place)
    if (in_site.has_names and in_site.templates) or not os.path.lexists(path):
        return in_site
    names, by_folder, templates = _read(path)
    if not in_site.has_names:
        return StatedWords(dataset, names, by_folder, place.templates or templates, path)
    unused = f"the names in {path} are not used: the site file has class_names"
    notes = (unused,) if names or by_folder else ()
    return StatedWords(
        dataset, place.class_names, place.names_by_folder, templates, None, notes
    )  # fmt: skip


def file_of(place: Location) -> Path:
    """Name the file beside a data set that may state its words."""
    folder = place.path
    while "{split}" in str(folder):
        folder = folder.parent
    return folder / FILE


Names = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]  # a list, or folder and name


def _read(path: Path) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Read names and templates."""
    content = _json(path)
    templates: Any = []
    if isinstance(content, dict) and _is_long_form(content):
        if odd := sorted(content.keys() - {"classes", "templates"}):
            raise DataError(
                f"{path}: has the key {odd[0]!r} beside classes and templates; remove it"
            )
        templates = content.get("templates", [])
        content = content.get("classes", [])
        if not content and not templates:
            raise DataError(f"{path}: states nothing; {_FORM}")
    elif not content:
        raise DataError(f"{path}: states no name; {_FORM}, or remove the file")
    return *_names(path, content), _templates(path, templates)


def _is_long_form(content: dict[str, Any]) -> bool:
    """True where `classes` or `templates` is no folder's name: what it has is no name."""
    known = [content[key] for key in ("classes", "templates") if key in content]
    return any(isinstance(value, list | dict) for value in known)


def _names(path: Path, content: Any) -> Names:
    if isinstance(content, list | dict) and len(content) > _MOST_NAMES:
        raise DataError(f"{path}: has {len(content):,} names, more than {_MOST_NAMES:,}; {_FORM}")
    if isinstance(content, list):
        return tuple(_name(path, f"name {i}", name) for i, name in enumerate(content)), ()
    if isinstance(content, dict):
        pairs = content.items()
        return (), tuple((folder, _name(path, shortened(folder), name)) for folder, name in pairs)
    raise DataError(f"{path}: holds {_shown(content)}; {_FORM}")


def _name(path: Path, which: str, name: Any) -> str:
    if not isinstance(name, str):
        raise DataError(
            f"{path}: {which} is {_shown(name)}, which is not text; {_FORM}, or rename the file if "
            "it is for something else"
        )
    if len(name) > _MOST_NAME:
        raise DataError(f"{path}: {which} has {len(name):,} characters; shorten it")
    if not name.strip():
        raise DataError(f"{path}: {which} is empty; write a name")
    return " ".join(name.split())


def _templates(path: Path, templates: Any) -> tuple[str, ...]:
    if not isinstance(templates, list):
        raise DataError(f"{path}: templates is {_shown(templates)}; write a list of prompts")
    return checked_prompts(path, [t if isinstance(t, str) else _shown(t) for t in templates])


def checked_prompts(path: Path, texts: Iterable[str]) -> tuple[str, ...]:
    """Return prompts with {} in them, as {c} of CLIP_benchmark is written here.

    Raises:
        DataError: a prompt has no place for the class, or more than one.
    """
    try:
        return tuple(prompt(text.replace("{c}", "{}")) for text in texts)
    except ValueError as error:
        raise DataError(f"{path}: the template {error}; correct it") from error


def _json(path: Path) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            times = Counter(key for key, _ in pairs)
            twice = next(key for key in times if times[key] > 1)
            raise DataError(f"{path}: has {shortened(twice)} twice; keep one of the two")
        return found

    try:
        text = atomic_files.read_bytes(path, _MOST_BYTES, follow=True).decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{error.lineno}: is not JSON ({error.msg}); fix that line, or rename the file "
            "if it is for something else"
        ) from error
    except (OSError, ValueError, RecursionError) as error:  # also numbers of 5,000 digits
        why = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: cannot be read ({why}); write UTF-8 text, or remove it"
        ) from error


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        kind = "a list" if isinstance(value, list) else "an object"
        if len(value) > _FEW:
            return f"{kind} of {len(value):,}"
    try:
        return plain(json.dumps(value, ensure_ascii=False), most=_LONGEST)
    except (ValueError, RecursionError):  # a number of 5,000 digits, or lists in lists
        return "what is too large to show"


def shortened(text: str) -> str:
    """Quote a text of a user's file for a message."""
    return repr(plain(text, most=_LONGEST))


def _sorts_as_text(folders: Sequence[str]) -> bool:
    """True for folders such as 0 to 10, which sort as 0, 1, 10, 2."""
    if not all(folder.isascii() and folder.isdigit() for folder in folders):
        return False
    return sorted(folders, key=int) != list(folders)
