"""Say every setting of a plan with its values: once what all share, then a line per method or mode.

clip: batch 4,096, temperature 0.07
lp: solver lbfgs, l2 in 45 values from 1e-08 to 100
"""

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpc_xfer.config.finetune_recipes import KNN, Finetune, LinearProbe
from hpc_xfer.study.labels import label_columns
from hpc_xfer.study.plan import Plan, Run

SPANNED = {"dataset", "mode", "shots", "draw", "snapshot"}  # columns and rows of the table
_MOST_VALUES = 10  # that are listed one by one
_NAME = "shared"  # of the line on what all have


def pretraining_lines(rows: Sequence[Mapping[str, Any]], shown: Iterable[str]) -> list[str]:
    """Return a line on what methods share, and one per method on the rest.

    Args:
        rows: columns of each pre-training.
        shown: columns that stand in the table.
    """
    methods: dict[str, dict[str, str]] = {}
    hidden = {*shown, "method"}
    for row in rows:
        own = {key: setting(read_cell(value)) for key, value in row.items() if key not in hidden}
        methods.setdefault(str(row["method"]), {}).update(own)
    return _lines(methods)


def finetuning_lines(plan: Plan) -> list[str]:
    """Return a line on what modes share, and one per mode on the rest."""
    runs = plan.of("finetune")
    recipes = {id(run.recipe): run for run in runs}  # the parents share them
    modes: dict[str, list[Run]] = {}
    for run in recipes.values():
        modes.setdefault(str(run.spec["mode"]), []).append(run)
    how = "chosen over all draws" if plan.choose == "pooled" else "chosen in each draw"
    settings = {mode: _of_mode(members, plan.tuned, how) for mode, members in modes.items()}
    draws = len({run.spec["draw"] for run in runs})
    for each in settings.values():
        each["draws"] = f"{draws:,}"
    return _lines(settings)


def _of_mode(runs: Sequence[Run], tuned: Iterable[str], how: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in label_columns([run.spec for run in runs]):
        if key not in SPANNED and key not in tuned:
            found[key] = _several(run.spec[key] for run in runs if key in run.spec)
    for key in tuned:
        if values := _tried(runs, key):
            found[key] = f"{values} ({how})"
    return found


def _several(values: Iterable[Any]) -> str:
    texts = list(dict.fromkeys(map(setting, values)))
    more = f" or {len(texts) - _MOST_VALUES} more" if len(texts) > _MOST_VALUES else ""
    return " or ".join(texts[:_MOST_VALUES]) + more


def _tried(runs: Sequence[Run], key: str) -> str:
    """Say which values a choice has: `in {0.001, 0.003}`, or how many there are on a path."""
    found: dict[float, None] = {}
    for run in runs:
        recipe = run.recipe
        if isinstance(recipe, LinearProbe | KNN) and recipe.path_key == key:
            found |= dict.fromkeys(recipe.path_values)
        elif isinstance(recipe, Finetune) and key in recipe.tunable:
            found[getattr(recipe, key)] = None
    if not found:
        return ""
    if len(found) > _MOST_VALUES:
        return f"in {len(found)} values from {min(found):g} to {max(found):g}"
    return "in {" + ", ".join(f"{value:g}" for value in found) + "}"


def _lines(groups: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Write a line on what is equal in all groups that have it, and one per group on the rest."""
    shared: dict[str, str] = {}
    for key in dict.fromkeys(key for group in groups.values() for key in group):
        values = [group[key] for group in groups.values() if key in group]
        if len(set(values)) == 1 and (len(values) > 1 or len(groups) == 1):
            shared[key] = values[0]
    if len(groups) == 1:
        return [f"{name}: {_listed(group)}" for name, group in groups.items() if group]
    lines = [f"{_NAME}: {_listed(shared)}"] if shared else []
    for name, group in groups.items():
        if own := {key: value for key, value in group.items() if key not in shared}:
            lines.append(f"{name}: {_listed(own)}")
    return lines


def _listed(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{k.removeprefix('pretrain_')} {v}" for k, v in settings.items())


def read_cell(value: Any) -> Any:
    """Read the JSON that a column holds; other text is returned as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


def setting(value: Any) -> str:
    """Write a value for a reader: `4,096`, `scale=[0.08, 1] flip=True`."""
    match value:
        case dict():
            return " ".join(f"{k}={setting(v)}" for k, v in value.items())
        case list() | tuple():
            return f"[{', '.join(map(setting, value))}]"
        case float() if len(repr(value)) > 8:
            return f"{value:.4g}"
        case int() if not isinstance(value, bool):
            return f"{value:,}"
    return str(value)
