"""Recipes with any values, made from the fields of their classes: a new field is covered as it is.

trained(Clip)                 # blocks of a grid, as a user could write them
adapted(FullFinetune)
"""

import functools
import math
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.recipes import Pretrain, Trained
from hpc_xfer.config.schema import LARGEST_COUNT

Strategy = st.SearchStrategy[Any]
Bounds = dict[str, float]

# Numbers at which a text may lose something, and counts that are multiples of each other.
_FLOATS = (0.0, -0.0, 1e-7, 1e-5, 0.1, 0.3, 0.1 + 0.2, 1 / 3, 0.5, 1.0, 1, 3, 3.0, 1e22, 5e-324)
_COUNTS = (0, 1, 2, 3, 4, 8, 64, 999, 1000, 1001, 999_999, 10**6, 1e6, LARGEST_COUNT)
# `$` begins a variable of the environment, and control characters are refused.
_TEXT = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="$"), min_size=1, max_size=12
) | st.sampled_from(["null", "none", "None", "1e-3", "true", "a b", "ä/ö", "~", "- x", "x: y #"])
_WORD = st.from_regex(r"[A-Za-z0-9_]{1,12}", fullmatch=True)
_NUMBER = st.floats(allow_nan=False, allow_infinity=False)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=3,
)  # fmt: skip
# Keys that open_clip has for images and for texts.
_OPTIONS = st.dictionaries(_WORD, st.booleans() | st.integers() | _NUMBER | _WORD, max_size=3)
_TOWER = st.fixed_dictionaries(
    {},
    optional={
        "layers": st.integers(1, 48),
        "width": st.integers(1, 1024),
        "mlp_ratio": st.floats(1e-3, 32),
        "ls_init_value": st.none() | st.floats(0, 1),
        "act_kwargs": _OPTIONS,
        "norm_kwargs": _OPTIONS,
    },
)
# What a study gives in another way than by a key of the block.
_NOT_IN_BLOCKS = {
    "method",
    "ranks",
    "arch",
    "dataset",
    "shots",
    "draw",
    "mode",
    "solver",
    "snapshot",
}


# Settings that are accepted beside another one alone.
BESIDE: dict[str, dict[str, Any]] = {"lock": {"init": "openai"}, "snapshots": {"batch": 1}}


def block_of(cls: type[Pretrain | Finetune]) -> dict[str, Any]:
    """Return the shortest block of a grid that makes a run of this class."""
    if issubclass(cls, Finetune):
        mode = get_args(cls.model_fields["mode"].annotation)[0]
        base: dict[str, Any] = {"datasets": ["digits"], "shots": [5], "draws": 1, "mode": [mode]}
        if "solver" in cls.model_fields:
            base["solver"] = cls.model_fields["solver"].default
        return base | ({"lr": 1e-3} if cls.tunable else {})
    base = {"method": cls.model_fields["method"].default, "arch": "RN50"}
    if issubclass(cls, Trained):
        base |= {"source": "sans", "samples": 10**6, "samples_seen": 10**6, "batch": 1000}
    return base | ({"weights": "openai"} if "weights" in cls.model_fields else {})


def settings_of(cls: type[Pretrain | Finetune]) -> dict[str, Strategy]:
    """Map each key of a block to what it may add: mostly a value of this key alone."""
    known = {k: _value(f) for k, f in cls.model_fields.items() if k not in _NOT_IN_BLOCKS}
    return {key: _adds(key, values) for key, values in known.items()}


def blocks_of(cls: type[Pretrain | Finetune]) -> Strategy:
    """Blocks with several settings that are not the default."""
    known = settings_of(cls)
    if not known:
        return st.just(block_of(cls))
    several = st.lists(st.sampled_from(sorted(known)), max_size=4, unique=True).flatmap(
        lambda keys: st.tuples(*(known[key] for key in keys))
    )
    return several.map(lambda added: functools.reduce(dict.__or__, added, block_of(cls)))


def _adds(key: str, values: Strategy) -> Strategy:
    return values.map(lambda value: {**BESIDE.get(key, {}), key: value})


def architectures() -> Strategy:
    """The content of a model file, with anything in it that keys of open_clip may be."""
    own = {name: _value(field) for name, field in _fields("Architecture").items()}
    return st.fixed_dictionaries(own | {"vision_cfg": _TOWER, "text_cfg": _TOWER})


def _fields(name: str) -> dict[str, FieldInfo]:
    from hpc_xfer.config import recipes

    found: dict[str, FieldInfo] = getattr(recipes, name).model_fields
    return {key: field for key, field in found.items() if not field.exclude}


def _value(field: FieldInfo) -> Strategy:
    return _of(field.annotation, tuple(field.metadata))


def _of(kind: Any, metadata: tuple[Any, ...] = ()) -> Strategy:
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _of(inside[0], (*inside[1:], *metadata))
    if origin is Literal:
        return st.sampled_from(inside)
    if origin in (Union, types.UnionType):
        return st.one_of(*(_of(each, metadata) for each in inside))
    if origin is tuple and inside[1:] == (...,):
        return st.lists(_of(inside[0]), min_size=1, max_size=3)
    if origin is tuple:
        return st.tuples(*map(_of, inside)).map(list)
    if origin is dict and inside[1] is not Any:
        return st.dictionaries(_TEXT, _of(inside[1]), min_size=1, max_size=3)
    if origin is dict:
        return st.dictionaries(_TEXT, _JSON, max_size=3)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        own = {name: _value(field) for name, field in kind.model_fields.items()}
        return st.fixed_dictionaries({}, optional=own)
    return _plain(kind, _bounds(metadata))


def _plain(kind: Any, bounds: Bounds) -> Strategy:
    if kind is type(None):
        return st.none()
    if kind is bool:
        return st.booleans()
    if kind is str:
        return _TEXT
    if kind is float:
        low, high = bounds.get("low", -math.inf), bounds.get("high", math.inf)
        drawn = st.floats(max(low, -1e300), min(high, 1e300), allow_nan=False)
        return (st.sampled_from(_FLOATS) | drawn).filter(lambda x: _within(x, bounds))
    assert kind is int, f"no strategy for {kind}; add one here"
    low, high = int(bounds.get("low", 0)), int(bounds.get("high", LARGEST_COUNT))
    return (st.sampled_from(_COUNTS) | st.integers(low, high)).filter(lambda x: _within(x, bounds))


def _bounds(metadata: tuple[Any, ...]) -> Bounds:
    """Read the bounds of a number from what Field(gt=0, ...) left in the metadata."""
    flat = [each for m in metadata for each in (m.metadata if isinstance(m, FieldInfo) else (m,))]
    bounds: Bounds = {}
    for each in flat:
        if isinstance(each, annotated_types.Ge | annotated_types.Gt):
            strict = isinstance(each, annotated_types.Gt)
            # The annotations of annotated_types allow any ordered value; Field has numbers alone.
            least: Any = each.gt if isinstance(each, annotated_types.Gt) else each.ge
            bounds |= {"low": float(least)}
            bounds |= {"above": 1.0} if strict else {}
        if isinstance(each, annotated_types.Le | annotated_types.Lt):
            strict = isinstance(each, annotated_types.Lt)
            most: Any = each.lt if isinstance(each, annotated_types.Lt) else each.le
            bounds |= {"high": float(most)}
            bounds |= {"below": 1.0} if strict else {}
    return bounds


def _within(x: float, bounds: Bounds) -> bool:
    low, high = bounds.get("low", -math.inf), bounds.get("high", math.inf)
    above = x > low if "above" in bounds else x >= low
    below = x < high if "below" in bounds else x <= high
    return above and below
