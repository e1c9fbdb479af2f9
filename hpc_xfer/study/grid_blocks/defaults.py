"""Fill blocks from `defaults:`, the keys that blocks of a grid share.

    defaults:
      pretrain: {batch: 1024, precision: bf16, seed: [0, 1, 2]}
      finetune: {precision: bf16}

A block takes what its method or its modes have. Its own keys win.
"""

import copy
from collections.abc import Mapping
from typing import Any

from hpc_xfer.config.finetune_recipes import MODES
from hpc_xfer.config.notation.way_out import way_out
from hpc_xfer.config.recipes import METHODS
from hpc_xfer.config.schema import format_value, nearest
from hpc_xfer.config.yaml_document import Loc
from hpc_xfer.study.grid_blocks.block_keys import all_keys, has_own, keys_elsewhere, keys_of
from hpc_xfer.study.grid_blocks.draft import Draft

_FIRST = ("method", "mode", "solver", "tune")  # they decide which other keys a block can have
KINDS = ("pretrain", "finetune")


def fill_defaults(draft: Draft) -> None:
    """Move what `defaults` holds into the blocks that take it; refuse what no block takes."""
    if "defaults" not in draft.data:
        return
    defaults = draft.data.pop("defaults")
    if not isinstance(defaults, dict):
        what = f"must be a mapping with pretrain or finetune, got {format_value(defaults)}"
        draft.refuse(("defaults",), f"{what}{way_out((), defaults)}")
        draft.may_lack |= set(KINDS)
        return
    draft.correct_keys(defaults, ("defaults",), KINDS)
    for kind, shared in defaults.items():
        loc: Loc = ("defaults", kind)
        if kind not in KINDS:
            draft.refuse(loc, _misplaced(kind))
            draft.may_lack |= set(KINDS)  # the blocks that it was meant for
        elif not isinstance(shared, dict):
            what = f"must be a mapping, got {format_value(shared)}"
            draft.refuse(loc, f"{what}{way_out((), shared)}")
            draft.may_lack.add(kind)
        else:
            draft.correct_keys(shared, loc, all_keys(kind), keys_elsewhere(kind))
            draft.read_notation(kind, shared, loc)
            for key in sorted(shared, key=lambda key: key not in _FIRST):
                _fill(draft, kind, key, shared[key])


def _fill(draft: Draft, kind: str, key: str, value: Any) -> None:
    blocks = list(draft.blocks(kind))
    can = [(loc, block) for loc, block in blocks if _can_have(draft, kind, block, key)]
    is_taken = False
    for loc, block in can:
        mine = _without_own(block, value) if key == "tune" else value
        if has_own(block, key) or (key == "tune" and mine == {} != value):
            continue
        block[key] = copy.deepcopy(mine)
        draft.moved[(*loc, key)] = ("defaults", kind, key)
        is_taken = True
    if is_taken or ("defaults", kind, key) in draft.moved:  # misspelt, which is told already
        return
    known = all_keys(kind)
    if key in keys_elsewhere(kind):
        other = KINDS[kind == KINDS[0]]
        why = f"is a key of {other}; write it there, or remove it"
    elif key not in known:
        why = f"unknown key; {nearest(key, known, 'the keys here are')}"
    elif not blocks:
        why = f"there is no block under {kind} to take it; remove it"
    elif can:
        why = "each block that could take it has its own; remove it here"
    elif known[key]:
        why = f"is taken by no block, since only {_words(known[key])} has it; remove it"
    else:
        why = "is taken by no block, since no mode here has it; remove it"
    draft.refuse(("defaults", kind, key), why)


def _misplaced(key: str) -> str:
    """Say what is wrong with a key that stands beside `pretrain` and `finetune`."""
    if of := [kind for kind in KINDS if key in all_keys(kind)]:
        example = f"`defaults: {{{of[0]}: {{{key}: ...}}}}`"
        return f"is a key of {' and '.join(of)}; write {example}"
    if key == "resources":
        return "are shared by all blocks anyway; write `resources` at the top level"
    if key in METHODS or key in MODES:
        kind = KINDS[key not in METHODS]
        return f"is no kind of block; write `{kind}`, whose blocks take the keys that they have"
    return f"unknown key; {nearest(key, KINDS, 'the keys here are')}"


def _can_have(draft: Draft, kind: str, block: Mapping[str, Any], key: str) -> bool:
    """Tell whether a block can have a key; one without its method can only take the method."""
    keys = keys_of(kind, block, draft.protocol)
    if keys is None and kind == "pretrain" and "method" not in block:
        return key == "method"
    return key in (all_keys(kind) if keys is None else keys)


def _without_own(block: Mapping[str, Any], tune: Any) -> Any:
    """Leave out what a block sets to one value itself."""
    if not isinstance(tune, dict):
        return tune
    return {key: values for key, values in tune.items() if key not in block}


def _words(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
