"""Expand `pretrain` blocks to recipes: lists are axes, a block is their product.

grid = PretrainGrid(doc, gpus=8)
grid.add_block(0, {"method": "clip", "samples": [1000, 2000], ...})
grid.link()
grid.recipes, grid.parents, grid.errors
"""

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from hpc_xfer.config import architectures
from hpc_xfer.config.notation.way_out import way_out
from hpc_xfer.config.recipes import (
    METHODS,
    PARENT,
    Architecture,
    Pretrain,
    Released,
    SimCLR,
    Trained,
    arch_name,
)
from hpc_xfer.config.schema import (
    LARGEST_COUNT,
    ConfigError,
    StrictModel,
    format_value,
    nearest,
    validate,
)
from hpc_xfer.config.yaml_document import Document, Loc
from hpc_xfer.study.grid_blocks.block_keys import keys_elsewhere
from hpc_xfer.study.grid_blocks.caption_keys import (
    caption_errors,
    settle_captions,
    sources_in,
    unused_captions,
)
from hpc_xfer.study.grid_blocks.chains import MadeRun, link_runs
from hpc_xfer.study.grid_blocks.grid_size import too_many
from hpc_xfer.study.grid_blocks.key_lists import settle_keys, with_names
from hpc_xfer.system import atomic_files

_OF_ONE_VALUE = ("must be a number", "must be the name of a column")
_MOST_BYTES = 1 << 20  # of a JSON model file; the largest of open_clip has 1 kB


class PretrainGrid:
    """Expands `pretrain` blocks to recipes and collects their errors."""

    def __init__(self, doc: Document, gpus: int) -> None:
        """
        Args:
            gpus: of each training; decides results where a block says `batchnorm: per-gpu`.
        """
        self.doc, self.gpus = doc, gpus
        self.recipes: list[Pretrain] = []
        self.blocks: list[int] = []
        self.parents: list[int | None] = []  # the place of what each starts from
        self.errors: list[ConfigError] = []
        self.names: dict[str, int] = {}  # of blocks, with their numbers
        blocks = doc.data.get("pretrain")
        self._sources: set[str] = set()
        for i, block in enumerate(blocks if isinstance(blocks, list) else []):
            if isinstance(block, dict):
                self._sources |= sources_in(block.get("source"))
                if isinstance(name := block.get("name"), str):
                    self.names.setdefault(name, i)
        self._made: list[MadeRun] = []
        self._from: dict[tuple[str, int | None], int] = {}  # recipe, start -> its block

    def add_block(self, i: int, block: dict[str, Any]) -> None:
        block = dict(block)
        if why := self._name_error(i, block.pop("name", None)):
            self.errors.append((("pretrain", i, "name"), why))
        if wrong := list(_method_errors(block)):
            self.errors += [(("pretrain", i, *loc), why) for loc, why in wrong]
            return
        model = METHODS[block["method"]]
        shared = {
            key for key in block if self.doc.written_at(("pretrain", i, key))[0] != "pretrain"
        }
        wrong = [*_key_errors(model, block), *unused_captions(block, shared, self._sources)]
        self.errors += [(("pretrain", i, *loc), why) for loc, why in wrong]
        if [] in block.values():
            return
        block = {key: value for key, value in block.items() if (key,) not in dict(wrong)}
        twice = list(_repeated(model, block))
        self.errors += [(("pretrain", i, *loc), why) for loc, why in twice]
        wrong += twice
        axes = [list(_axis(model, key, value)) for key, value in block.items()]
        if many := too_many(math.prod(map(len, axes)), ("pretrain", i)):
            self.errors += many
            return
        for choice in itertools.product(*axes):
            chosen = {at[0]: (at, value) for at, value in choice}
            recipe = self._recipe(i, model, chosen)
            if recipe is not None and not wrong:
                init = chosen["init"][1] if getattr(recipe, "init", None) == PARENT else None
                along = {str(key): value for key, (at, value) in chosen.items() if len(at) > 1}
                self._made.append(MadeRun(i, recipe, along, init))

    def link(self) -> None:
        """Find what each run starts from, once all blocks are there."""
        linked, errors = link_runs(self._made, self.names)
        self.errors += errors
        for run in linked:
            if self._is_new(run.block, run.recipe, run.parent):
                self.recipes.append(run.recipe)
                self.blocks.append(run.block)
                self.parents.append(run.parent)
        self.recipes = with_names(self.recipes)

    def _name_error(self, i: int, name: Any) -> str:
        if name is None:
            return ""
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
            what = "letters, digits, _, - and ., at most 64"
            return f"{format_value(name)} is not a valid block name; use {what}"
        if self.names.get(name, i) != i:
            first = f"pretrain.{self.names[name]}"
            return f"duplicate name {name!r}, which {first} has; write another one"
        return ""

    def _recipe(
        self, i: int, model: type[Pretrain], chosen: dict[Any, tuple[Loc, Any]]
    ) -> Pretrain | None:
        values = {key: value for key, (_, value) in chosen.items()}
        if values.get("init") == PARENT:
            why = f"{PARENT} is not a block name; write the name of a block"
            self.errors.append((("pretrain", i, "init"), why))
            return None
        init = values.get("init")
        if "init" in model.model_fields and isinstance(init, str) and init in self.names:
            values["init"] = PARENT
        if values.get("batchnorm") == "per-gpu":
            values["ranks"] = self.gpus
        wrong = _settle_samples_seen(model, values) + _settle_arch(self.doc.path, model, values)
        wrong += settle_keys(self.doc.path, values)
        settle_captions(values)
        if wrong:  # check the other keys too, with valid values here
            values = {**values, **{str(loc[0]): "RN50" for loc, _ in wrong if loc == ("arch",)}}
            if "samples_seen" in model.model_fields:
                values["samples_seen"] = LARGEST_COUNT
        recipe, more = validate(model, values)
        wrong += more
        if recipe is not None and not wrong:
            wrong += [*_patch_errors(recipe), *_batchnorm_errors(recipe), *caption_errors(recipe)]
        for loc, sentence in wrong:
            sentence += _way_to_compare(values, loc, sentence)
            at = chosen[loc[0]][0] + loc[1:] if loc and loc[0] in chosen else loc
            self.errors.append((("pretrain", i, *at), sentence))
        return None if wrong else recipe

    def _is_new(self, i: int, recipe: Pretrain, parent: int | None) -> bool:
        same = (recipe.model_dump_json(), parent)
        if same in self._from:
            first = self._from[same]
            what = "the same run twice" if first == i else f"a run that pretrain.{first} makes too"
            self.errors.append((("pretrain", i), f"makes {what}; remove one"))
            return False
        self._from[same] = i
        return True


def _method_errors(block: Mapping[str, Any]) -> Iterator[ConfigError]:
    method = block.get("method")
    if "method" not in block:
        yield (), f"is missing its method; add `method: ...`, one of {', '.join(sorted(METHODS))}"
    elif isinstance(method, list):
        yield ("method",), "cannot be an axis, since methods differ in their keys; write two blocks"
    elif not isinstance(method, str) or method not in METHODS:
        hint = nearest(str(method), METHODS, "methods are")
        yield ("method",), f"no method is called {format_value(method)}; {hint}"


def _key_errors(model: type[StrictModel], block: Mapping[str, Any]) -> Iterator[ConfigError]:
    keys = set(model.model_fields) | ({"epochs"} if "samples_seen" in model.model_fields else set())
    keys -= {"ranks"}
    for key, value in block.items():
        if key == "ranks":
            yield (key,), "is resources.pretrain.gpus where batchnorm is per-gpu; leave it out"
        elif key not in keys and (others := _methods_with(key)):
            yield (key,), f"is not a setting of {block['method']}, but of {others}; remove it"
        elif key not in keys and key in keys_elsewhere("pretrain"):
            yield (key,), "is a key of finetune; write it there, or remove it"
        elif key not in keys:
            yield (key,), f"unknown key; {nearest(key, keys, 'the keys here are')}"
        elif value == []:
            yield (key,), "an empty list leaves no run; give it a value"


def _methods_with(key: str) -> str:
    has = (name for name, model in METHODS.items() if key in model.model_fields)
    return ", ".join([*has, *(["all that train"] if key == "epochs" else [])])


def _axis(model: type[StrictModel], key: str, value: Any) -> Iterator[tuple[Loc, Any]]:
    """Yield a key's values with their places: a list is an axis, unless the field is a list."""
    if not _is_axis(model, key, value):
        yield (key,), value
    else:
        for i, item in enumerate(value):
            yield (key, i), item


def _is_axis(model: type[StrictModel], key: str, value: Any) -> bool:
    field = model.model_fields.get(key)
    if not isinstance(value, list):
        return False
    if key == "crop" and all(map(_is_number, value)):  # as `crop` of finetune is written
        return False
    takes_list = field is not None and "tuple" in str(field.annotation)
    return not takes_list or bool(value and isinstance(value[0], list))


def _repeated(model: type[StrictModel], block: Mapping[str, Any]) -> Iterator[ConfigError]:
    """Refuse an axis that has a value twice."""
    for key, values in block.items():
        if _is_axis(model, key, values):
            again = [i for i, value in enumerate(values) if value in values[:i]]
            if again:
                yield (key, again[0]), f"is {format_value(values[again[0]])} once more; keep one"


def _way_to_compare(values: Mapping[str, Any], loc: Loc, sentence: str) -> str:
    """Say how to compare values inside of a mapping, or how to give samples of each source."""
    if loc == ("samples",) and isinstance(values.get("samples"), dict):
        return "; write the sum, and the share of each source in `source`"
    here: Any = values
    for part in loc:
        here = here.get(part) if isinstance(here, dict) else None
    is_meant = sentence.startswith(_OF_ONE_VALUE) or "whole number" in sentence
    is_meant &= len(loc) > 1 and isinstance(here, list)
    return f"; to compare several, make {loc[0]} a list of mappings" if is_meant else ""


def _settle_samples_seen(model: type[StrictModel], values: dict[str, Any]) -> list[ConfigError]:
    """Turn `epochs` into `samples_seen`, so that the same run gets the same id."""
    if "samples_seen" not in model.model_fields:
        return []
    if "epochs" not in values:
        sentence = "is missing epochs (or samples_seen); add a line `epochs: ...`"
        return [] if "samples_seen" in values else [((), sentence)]
    epochs = values.pop("epochs")
    samples: Any = values.get("samples")
    if "samples_seen" in values:
        return [
            (
                ("epochs",),
                "sets the length of the training, as samples_seen does; keep one of the two",
            )
        ]
    if not _is_number(epochs) or not epochs > 0:
        way = way_out(["a number"], epochs) if isinstance(epochs, str) else ""
        return [(("epochs",), f"must be a number greater than 0, got {format_value(epochs)}{way}")]
    if not _is_number(samples) or not 0 < samples <= LARGEST_COUNT:  # its own error is told
        values["samples_seen"] = LARGEST_COUNT
        return []
    values["samples_seen"] = round(epochs * samples)
    if values["samples_seen"] > LARGEST_COUNT:
        what = f"{epochs:g} epochs of {samples:,} samples are more than {LARGEST_COUNT:,} samples"
        return [(("epochs",), f"is too large: {what}; lower it")]
    if values["samples_seen"] == 0:
        what = f"{epochs} epochs of {samples} samples are less than one sample"
        return [(("epochs",), f"is too small: {what}; raise it")]
    return []


def _is_number(value: Any) -> TypeGuard[float]:
    """Accept finite numbers only, no booleans."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e20


def _settle_arch(grid: Path, model: type[StrictModel], values: dict[str, Any]) -> list[ConfigError]:
    """Keep a known name; read a JSON file in, since its content decides the result."""
    arch = values.get("arch")
    if not isinstance(arch, str):
        sentence = f"must be a name or a JSON file, got {format_value(arch)}"
        return [(("arch",), sentence)] if "arch" in values else []
    if not arch.endswith(".json"):
        if arch in architectures.known_architectures():
            return []
        if unsupported := architectures.why_unsupported(arch):
            return [(("arch",), f"{arch!r} {unsupported}; take another, such as 'ViT-B-32'")]
        hint = nearest(arch, architectures.known_architectures(), "known are")
        return [(("arch",), f"no architecture is called {arch!r}; {hint}")]
    if issubclass(model, Released):
        return [(("arch",), "must be a name: released weights exist for named architectures only")]
    path = grid.parent / arch
    try:
        text = atomic_files.read_bytes(path, _MOST_BYTES, follow=True).decode()
        content = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        return [(("arch",), f"{path}: cannot be read ({why}); name a JSON model file")]
    if not isinstance(content, dict):
        return [(("arch",), f"{path}: must be a mapping, got {format_value(content)}")]
    found, wrong = validate(Architecture, {**content, "name": path.stem})
    if found is None:
        return [(("arch",), f"{path}: {'.'.join(map(str, at))}: {why}") for at, why in wrong]
    if too_large := architectures.why_too_large(found):
        return [(("arch",), f"{path}: {too_large}")]
    values["arch"] = json.loads(found.model_dump_json()) | {"name": found.name}
    return []


def _patch_errors(recipe: Pretrain) -> Iterator[ConfigError]:
    if not isinstance(recipe, Trained) or recipe.patch_dropout is None:
        return
    if why := architectures.why_no_patches(recipe.arch):
        way = "remove patch_dropout or take a vision transformer, such as 'ViT-B-32'"
        yield ("patch_dropout",), f"{arch_name(recipe.arch)} {why}; {way}"


def _batchnorm_errors(recipe: Pretrain) -> Iterator[ConfigError]:
    """Refuse a setting of batch norm where there is none: it would make the same run twice."""
    if not isinstance(recipe, Trained) or recipe.batchnorm is None or isinstance(recipe, SimCLR):
        return  # the projection of SimCLR has batch norm with any encoder
    if architectures.why_no_patches(recipe.arch) is None:
        name = arch_name(recipe.arch)
        yield ("batchnorm",), f"{name}, a vision transformer, has no batch norm; remove batchnorm"


def _finite(text: str) -> float:
    """Read a number; one that is too large would be written as null."""
    if math.isinf(number := float(text)):
        raise ValueError(f"{text} is too large for a number")
    return number


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
