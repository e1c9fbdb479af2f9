"""Change a grid without editing it: `--set KEY=VALUE`, or the key `set` of the file.

    python -m hpc_xfer.launch grids/size_scaling.yaml --set resources.pretrain.gpus=4 \\
        --set pretrain.0.batch=512 --set 'pretrain.*.precision=fp32' --set finetune.draws=3

    set: {resources.pretrain.gpus: 4, pretrain.0.batch: 512}

A key is a path with dots. Blocks are counted from 0; `*`, or no number, means each block that can
have the key. The store keeps the grid with what was typed, under `set_at_launch`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hpc_xfer.config import yaml_document
from hpc_xfer.config.notation.top_level_key import with_top_level_key
from hpc_xfer.config.schema import format_value, nearest
from hpc_xfer.config.yaml_document import Document, Loc
from hpc_xfer.errors import StudyError
from hpc_xfer.study.grid_blocks.block_keys import RIVALS, all_keys, keys_elsewhere, keys_of
from hpc_xfer.study.grid_blocks.defaults import KINDS, fill_defaults
from hpc_xfer.study.grid_blocks.draft import Draft

AT_LAUNCH = "set_at_launch"


@dataclass(frozen=True)
class Change:
    """One value to set."""

    key: str  # with dots
    value: Any
    place: Loc  # in the file, or a stand-in for what was typed

    @property
    def parts(self) -> list[str]:
        return self.key.split(".")


def read_changes(typed: Iterable[str]) -> dict[str, Any]:
    """Read arguments of --set; the last one of a key counts.

    Raises:
        StudyError: one is not KEY=VALUE, or its value is no YAML.
    """
    found: dict[str, Any] = {}
    for argument in typed:
        key, equals, text = argument.partition("=")
        key = key.strip()
        if not equals or not all(key.split(".")):
            raise StudyError(
                f"--set {argument}: is not KEY=VALUE; write --set pretrain.0.batch=512"
            )
        if not text.strip():
            raise StudyError(f"--set {argument}: has no value; write {key}=null for none")
        found.pop(key, None)  # a later one is made later
        found[key] = yaml_document.load_value(text, f"--set {argument}")
    return found


def draft_of(doc: Document, protocol: str, known: Iterable[str], typed: Sequence[str]) -> Draft:
    """Read what a grid means: corrected keys, defaults filled in, changes made.

    Args:
        protocol: that of a grid which names none.
        known: the keys of the top level.
        typed: arguments of --set.

    Raises:
        StudyError: an argument cannot be read.
    """
    draft = Draft(doc, protocol)
    _check_top_level(draft, {*known, "defaults", "set"})
    of_file = [change for key in ("set", AT_LAUNCH) for change in _changes_of_file(draft, key)]
    changes = [*of_file, *_changes_typed(draft, typed)]
    known_heads = {*known, "defaults"}
    changes = [change for change in changes if not _has_unknown_head(draft, change, known_heads)]
    for change in changes:
        if change.parts[0] == "defaults":
            _set_in(draft, draft.data, (), change.parts, change)
    is_set_whole = any(change.key == "pretrain" for change in changes)
    if not is_set_whole:
        draft.list_single_block()
    for kind in KINDS:
        _read_blocks(draft, kind)
    fill_defaults(draft)
    for change in changes:
        if change.parts[0] != "defaults":
            _apply(draft, change)
    if is_set_whole:
        draft.list_single_block()
    for kind in KINDS:
        _read_blocks(draft, kind)
    return draft


def _has_unknown_head(draft: Draft, change: Change, known: set[str]) -> bool:
    """Refuse a path whose first key is none of the top level."""
    head = change.parts[0]
    if head in known:
        return False
    if head in ("set", AT_LAUNCH):
        why = "is the change itself; name the key that it changes"
    elif (dotted := re.sub(r"\[(\w+|\*)\]|/", _as_dot, change.key)).split(".")[0] in known:
        why = f"is not a path with dots; did you mean {dotted!r}?"
    else:
        why = f"unknown key; {nearest(head, known, 'the keys here are')}"
    draft.refuse(change.place, why)
    return True


def _as_dot(found: re.Match[str]) -> str:
    return f".{found[1]}" if found[1] else "."


def _check_top_level(draft: Draft, known: set[str]) -> None:
    draft.correct_keys(draft.data, (), known, [AT_LAUNCH])
    for key in [key for key in draft.data if key not in {*known, AT_LAUNCH}]:
        del draft.data[key]
        draft.refuse((key,), f"unknown key; {nearest(key, known, 'the keys here are')}")


def text_with(doc: Document, typed: Sequence[str]) -> str:
    """Return the text of a grid with arguments of --set under `set_at_launch`.

    Raises:
        StudyError: the text cannot be changed so.
    """
    own = doc.data.get(AT_LAUNCH)
    new = read_changes(typed)
    kept = own.items() if isinstance(own, dict) else ()
    content = {**{key: value for key, value in kept if key not in new}, **new}
    text = with_top_level_key(doc.text, AT_LAUNCH, json.dumps(content))
    if yaml_document.load_yaml(doc.path, text).data != {**doc.data, AT_LAUNCH: content}:
        raise StudyError(f"{doc.path}: --set cannot change this file; write one key a line in it")
    return text


def changes_at_launch(doc: Document) -> tuple[str, ...]:
    """Return the arguments of --set that `text_with` wrote into a grid."""
    content = doc.data.get(AT_LAUNCH)
    items = content.items() if isinstance(content, dict) else ()
    return tuple(f"{key}={json.dumps(value)}" for key, value in items)


def _read_blocks(draft: Draft, kind: str) -> None:
    for loc, block in draft.blocks(kind):
        if kind == "pretrain" and "method" not in block:
            draft.correct_keys(block, loc, {"method"})
        draft.read_notation(kind, block, loc)
        keys = keys_of(kind, block, draft.protocol) if kind == "pretrain" else all_keys(kind)
        special = {"ranks"} if kind == "pretrain" else {"snapshot"}
        if keys is not None:
            elsewhere = {*all_keys(kind), *keys_elsewhere(kind)}
            draft.correct_keys(block, loc, {*keys, *special}, elsewhere)
            draft.read_notation(kind, block, loc)


def _changes_of_file(draft: Draft, name: str) -> Iterator[Change]:
    if name not in draft.data:
        return
    own = draft.data.pop(name)
    if not isinstance(own, dict):
        example = f"`{name}: {{pretrain.0.batch: 512}}`"
        draft.refuse((name,), f"must be a mapping like {example}, got {format_value(own)}")
        return
    for key, value in own.items():
        if key == "name" and name != AT_LAUNCH:
            draft.refuse((name, key), "is the name of the study; write it at the top level")
        elif all(key.split(".")):
            yield Change(key, value, (name, key))
        else:
            draft.refuse((name, key), "is not a path of keys; write `pretrain.0.batch: ...`")


def _changes_typed(draft: Draft, typed: Sequence[str]) -> Iterator[Change]:
    for key, value in read_changes(typed).items():
        place: Loc = ("--set", key)
        argument = next(each for each in reversed(typed) if each.partition("=")[0].strip() == key)
        draft.typed[place] = f"--set {argument}"
        yield Change(key, value, place)


def _apply(draft: Draft, change: Change) -> None:
    kind, *rest = change.parts
    if kind not in KINDS or not rest:
        _set_in(draft, draft.data, (), change.parts, change)
        return
    blocks = list(draft.blocks(kind))
    if rest[0].lstrip("-").isdecimal() and not rest[0].isdecimal():
        draft.refuse(change.place, f"blocks are counted from 0; {rest[0]} is not a block")
        return
    if rest[0].isdecimal():
        _set_in_block(draft, kind, rest, change)
        return
    keys = rest[1:] if rest[0] == "*" else rest
    if not keys:
        draft.refuse(change.place, f"names no key; write {kind}.*.KEY")
        return
    can = [(loc, block) for loc, block in blocks if _can_have(draft, kind, block, keys[0])]
    for loc, block in can:
        _set_in(draft, block, loc, keys, change)
    if not can:
        known = all_keys(kind)
        if keys[0] in known and blocks:
            why = f"no block of {kind} can have {keys[0]}; name another key"
        elif named := [loc for loc, block in blocks if block.get("name") == keys[0]]:
            path = ".".join(map(str, (kind, *named[0][1:], *keys[1:])))
            why = f"blocks are named by their numbers, from 0; write {path}"
        elif blocks:
            why = f"unknown key; {nearest(keys[0], known, 'the keys here are')}"
        else:
            why = f"the grid has no {kind} to change; remove it"
        draft.refuse(change.place, why)


def _set_in_block(draft: Draft, kind: str, rest: list[str], change: Change) -> None:
    number, keys = int(rest[0]), rest[1:]
    found = draft.data.get(kind)
    blocks = found if isinstance(found, list) else [found] if isinstance(found, dict) else []
    if number >= len(blocks):
        last = len(blocks) - 1
        have = f"0 to {last}" if last > 0 else "0 alone" if last == 0 else "none"
        draft.refuse(change.place, f"{kind} has no block {number}; its blocks are {have}")
        return
    loc: Loc = (kind, number) if isinstance(found, list) else (kind,)
    if keys and isinstance(blocks[number], dict):
        _set_in(draft, blocks[number], loc, keys, change)
    elif keys:
        draft.refuse(change.place, f"{kind}.{number} is not a mapping; set it as a whole")
    else:
        if isinstance(found, list):
            found[number] = change.value
        else:
            draft.data[kind] = change.value
        draft.moved[loc] = change.place


def _set_in(
    draft: Draft, mapping: dict[str, Any], loc: Loc, keys: Sequence[str], change: Change
) -> None:
    """Set a value below a mapping; mappings on the way are made where there are none."""
    here: Any = mapping
    for key in keys[:-1]:
        loc = (*loc, key)
        if key not in here:
            here[key] = {}
            draft.moved[loc] = change.place
        if not isinstance(here[key], dict):
            whole = ".".join(map(str, loc))
            has = format_value(here[key])
            draft.refuse(change.place, f"{whole} is {has}, which has no keys; set {whole} itself")
            return
        here = here[key]
    last = keys[-1]
    if loc[:1] in (("pretrain",), ("finetune",)) and mapping is not draft.data:
        _remove_rivals(mapping, [*keys[:-1], last], change.value)
    here[last] = change.value
    draft.moved = {at: to for at, to in draft.moved.items() if at[: len(loc) + 1] != (*loc, last)}
    draft.moved[(*loc, last)] = change.place


def _remove_rivals(block: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    """Drop what says the same by another key: epochs for samples_seen, tune.lr for lr."""
    key = keys[0]
    if key == "tune":
        for one in keys[1:2] or (value if isinstance(value, dict) else ()):
            block.pop(one, None)
    if len(keys) > 1 or key == "tune":
        return
    block.pop(RIVALS.get(key, ""), None)
    tuned = block.get("tune")
    if isinstance(tuned, dict) and key in tuned:
        del tuned[key]
        if not tuned:
            del block["tune"]


def _can_have(draft: Draft, kind: str, block: dict[str, Any], key: str) -> bool:
    keys = keys_of(kind, block, draft.protocol)
    return key in (all_keys(kind) if keys is None else keys)
