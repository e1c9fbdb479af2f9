"""A grid while it is read: its values, where each stands in the file, and the mistakes so far."""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from hpc_xfer.config.notation.units import read_count, refuse_thousands
from hpc_xfer.config.notation.way_out import several_in
from hpc_xfer.config.protocols import PROTOCOLS, Protocol
from hpc_xfer.config.schema import ConfigError, closest, format_value
from hpc_xfer.config.yaml_document import Document, Loc

_LISTS = {
    "pretrain": ("snapshots",),
    "finetune": ("datasets", "shots", "mode", "neighbors", "parents"),
}
_LACKS = ("is missing", "has no learning rate")  # beginnings of errors


@dataclass
class Draft:
    """The content of a grid file, to be changed in place."""

    doc: Document
    default_protocol: str = "standard"
    data: dict[str, Any] = field(init=False)
    moved: dict[Loc, Loc] = field(default_factory=dict)
    typed: dict[Loc, str] = field(default_factory=dict)
    errors: list[ConfigError] = field(default_factory=list)
    is_without_blocks: bool = False  # `pretrain` is no list of blocks, which is told
    may_lack: set[str] = field(default_factory=set)  # kinds whose defaults cannot be read

    def __post_init__(self) -> None:
        self.data = copy.deepcopy(self.doc.data)

    @property
    def protocol(self) -> Protocol:
        name = self.data.get("protocol", self.default_protocol)
        return PROTOCOLS.get(name if isinstance(name, str) else "", PROTOCOLS["standard"])

    def refuse(self, loc: Loc, sentence: str) -> None:
        self.errors.append((loc, sentence))

    def blocks(self, kind: str) -> Iterator[tuple[Loc, dict[str, Any]]]:
        """Yield the blocks of `pretrain` or `finetune` that are mappings, with their places."""
        found = self.data.get(kind)
        if isinstance(found, dict):
            yield (kind,), found
        for i, block in enumerate(found if isinstance(found, list) else []):
            if isinstance(block, dict):
                yield (kind, i), block

    def document(self) -> Document:
        """The file with the values that it means."""
        return replace(self.doc, data=self.data, moved=self.moved, typed=self.typed)

    def without_consequences(self, errors: Iterable[ConfigError]) -> list[ConfigError]:
        """Leave out keys that a block lacks where its defaults cannot be read, which is told."""
        return [
            (loc, why)
            for loc, why in errors
            if not (loc[:1] and loc[0] in self.may_lack and why.startswith(_LACKS))
        ]

    def list_single_block(self) -> None:
        """Read `pretrain: {method: ...}` as a list of one block; refuse what is no list of blocks.

        Blocks that are listed by their names are refused, and read as they are meant.
        """
        if "pretrain" not in self.data:
            return
        loc: Loc = ("pretrain",)
        found = self.data["pretrain"]
        if found and isinstance(found, dict) and all(isinstance(v, dict) for v in found.values()):
            first = next(iter(found))
            way = f"write a list, with each name inside: `- {{name: {first}, method: ...}}`"
            self.refuse(loc, f"has blocks by their names; {way}")
            for i, name in enumerate(found):
                self.moved["pretrain", i] = ("pretrain", name)
            self.data["pretrain"] = [{**block, "name": name} for name, block in found.items()]
        elif found and isinstance(found, dict):
            self.data["pretrain"] = [found]
            self.moved["pretrain", 0] = loc
        elif not found or not isinstance(found, list):
            what = "has no block" if not found else f"is no list of blocks: {format_value(found)}"
            self.refuse(loc, f"{what}; write some, such as `- {{method: scratch, arch: RN50}}`")
            del self.data["pretrain"]
            self.is_without_blocks = True

    def correct_keys(
        self,
        mapping: dict[str, Any],
        loc: Loc,
        known: Iterable[str],
        elsewhere: Iterable[str] = (),
    ) -> None:
        """Refuse misspelt keys, and go on with the keys that they mean.

        So a misspelt key hides nothing else, and nothing that follows from it is told. Keys that
        exist `elsewhere` are not misspelt.
        """
        known = set(known)
        for key in [key for key in mapping if key not in {*known, *elsewhere}]:
            meant = closest(key, known)
            if meant is None or meant in mapping:
                continue  # its model refuses it
            self.refuse((*loc, key), f"unknown key; did you mean {meant!r}?")
            self.moved[(*loc, meant)] = (*loc, key)
            content = [(meant if k == key else k, v) for k, v in mapping.items()]
            mapping.clear()
            mapping.update(content)

    def read_notation(self, kind: str, block: dict[str, Any], loc: Loc) -> None:
        """Read one value where a list is meant, and counts with units."""
        for key in _LISTS[kind]:
            self._as_list(block, key, loc)
        if isinstance(block.get("tune"), dict):
            for key in block["tune"]:
                self._as_list(block["tune"], key, (*loc, "tune"))
        if kind == "pretrain" and "samples" in block:
            block["samples"] = _each(block["samples"], _count_or_text)
        if "batch" in block:
            self._check_batch(block, loc)

    def _as_list(self, mapping: dict[str, Any], key: str, loc: Loc) -> None:
        value = mapping.get(key)
        if value is None or isinstance(value, list | dict) or several_in(value):
            return
        mapping[key] = [value]
        self.moved[(*loc, key, 0)] = (*loc, key)

    def _check_batch(self, block: dict[str, Any], loc: Loc) -> None:
        try:
            _each(block["batch"], refuse_thousands)
        except ValueError as why:
            self.refuse((*loc, "batch"), str(why))
            block["batch"] = 1  # fits everywhere, so that it brings no second error


def _each(value: Any, read: Any) -> Any:
    if isinstance(value, list):
        return [read(each) for each in value]
    if isinstance(value, dict):
        return {key: read(each) for key, each in value.items()}
    return read(value)


def _count_or_text(value: Any) -> Any:
    """Read a count; what is none is told by its model."""
    try:
        return read_count(value)
    except ValueError:
        return value
