"""A study: one grid file, typed. Every mistake in it is one sentence, all of them at once.

    study = load(Path("grids/size_scaling.yaml"))

Lists in a `pretrain` block are axes; the block expands to their product.
"""

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from hpc_xfer import architectures, document
from hpc_xfer.document import Document, Loc
from hpc_xfer.nouns import Count, Mistake, Noun, Rate, Whole, nearest, shown, validate
from hpc_xfer.recipes import (
    METHODS,
    TUNABLE,
    Architecture,
    Finetune,
    Pretrain,
    Released,
    Shots,
)

_MOST_RUNS = 200_000  # a product larger than this is a slip of the pen


class PretrainResources(Noun):
    gpus: Count = 1  # processes; each has a GPU where there are GPUs
    minutes: Rate = 60.0  # one run, with a margin
    workers: Whole = 2  # data loading processes per GPU; changes no number
    threads: Count = 1  # per process, where there is no GPU; fixed, since it changes the last bits
    checkpoint_minutes: Rate = 10.0
    log_steps: Count = 20


class FinetuneResources(Noun):
    gpus: Count = Field(default=1, le=1)
    minutes: Rate | dict[str, Rate] = 20.0  # one run, with a margin; or {shots: minutes}
    target_minutes: Rate = 30.0  # packs are cut to last about this long
    threads: Count = 1
    checkpoint_minutes: Rate = 10.0
    log_steps: Count = 20

    def minutes_of(self, shots: int | str) -> float:
        return float(by_shots(self.minutes, shots))


class Resources(Noun):
    """Where and how fast; never part of a run's identity."""

    pretrain: PretrainResources = PretrainResources()
    finetune: FinetuneResources = FinetuneResources()


class _Head(Noun):
    """The top level, with the two grids still raw."""

    name: str
    question: str = ""
    pretrain: list[dict[str, Any]] = Field(min_length=1)
    finetune: Any = []  # a block or a list of blocks; see _Axes and Finetune for their keys
    resources: Resources = Resources()

    @field_validator("name")
    @classmethod
    def _safe(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
            raise ValueError(
                f"{name!r} cannot name a folder; use letters, digits, _, - and ., at most 64"
            )
        return name


class _Axes(Noun):
    """The keys of `finetune` that span the grid; all others are settings of each trial."""

    datasets: list[str] = Field(min_length=1)
    shots: list[Shots] = Field(min_length=1)
    draws: Count | dict[str, Count] = 3
    mode: list[str] = ["ft"]
    tune: dict[str, list[Any]] = {}


_BY_SHOTS = ("epochs", "batch", "lr", "weight_decay", "warmup_steps")


@dataclass(frozen=True)
class Study:
    """Expanded, checked; the plan crosses every pre-training with every trial."""

    path: Path
    text: str
    name: str
    question: str
    pretrains: tuple[Pretrain, ...]
    blocks: tuple[int, ...]  # of the file, from which each pre-training comes
    trials: tuple[Finetune, ...]
    tuned: tuple[str, ...]
    resources: Resources
    document: Document


def load(path: Path) -> Study:
    """Read a grid file.

    Raises:
        StudyError: one line per mistake, with file, line, key path and the way out.
    """
    doc = document.load(path)
    head, mistakes = validate(_Head, doc.data)
    pretrains = _Grid(doc)
    for i, block in _mappings(doc.data.get("pretrain")):
        pretrains.add_block(i, block)
    trials, tuned, wrong = _all_trials(doc.data.get("finetune"))
    mistakes += pretrains.mistakes + wrong
    if head is not None:
        mistakes += _missing_minutes(head.resources.finetune, trials)
    mistakes += _too_many(len(pretrains.recipes) * (1 + len(trials)), ("finetune",))
    if head is None or mistakes:
        raise doc.refusal(mistakes)
    return Study(
        path=path,
        text=doc.text,
        name=head.name,
        question=head.question,
        pretrains=tuple(pretrains.recipes),
        blocks=tuple(pretrains.blocks),
        trials=tuple(trials),
        tuned=tuned,
        resources=head.resources,
        document=doc,
    )


def _mappings(blocks: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """The blocks that can be read; what is none of them is the head's mistake to tell."""
    for i, block in enumerate(blocks if isinstance(blocks, list) else []):
        if isinstance(block, dict):
            yield i, block


def _too_many(runs: int, loc: Loc) -> list[Mistake]:
    if runs <= _MOST_RUNS:
        return []
    return [(loc, f"expands to {runs:,} runs; shorten an axis to stay below {_MOST_RUNS:,}")]


def _missing_minutes(resources: FinetuneResources, trials: list[Finetune]) -> list[Mistake]:
    if not isinstance(resources.minutes, Mapping):
        return []
    missing = {str(trial.shots) for trial in trials} - set(resources.minutes)
    loc = ("resources", "finetune", "minutes")
    return [(loc, f"has no value for {s} shots; add `{s}: ...`") for s in sorted(missing)]


def by_shots(value: Any, shots: int | str) -> Any:
    """A value, or the one for these shots where it is given as {shots: value}."""
    return value[str(shots)] if isinstance(value, Mapping) else value


class _Grid:
    """Expands `pretrain` blocks to recipes and gathers what is wrong with them."""

    def __init__(self, doc: Document) -> None:
        self.doc = doc
        self.recipes: list[Pretrain] = []
        self.blocks: list[int] = []
        self.mistakes: list[Mistake] = []
        self._from: dict[str, int] = {}  # canonical recipe -> block that made it

    def add_block(self, i: int, block: dict[str, Any]) -> None:
        if wrong := list(_method_mistakes(block)):
            self.mistakes += [(("pretrain", i, *loc), why) for loc, why in wrong]
            return
        model = METHODS[block["method"]]
        wrong = list(_key_mistakes(model, block))
        self.mistakes += [(("pretrain", i, *loc), why) for loc, why in wrong]
        if [] in block.values():
            return
        block = {key: value for key, value in block.items() if (key,) not in dict(wrong)}
        axes = [list(_axis(model, key, value)) for key, value in block.items()]
        if many := _too_many(math.prod(map(len, axes)), ("pretrain", i)):
            self.mistakes += many
            return
        for choice in itertools.product(*axes):
            recipe = self._recipe(i, model, {at[0]: (at, value) for at, value in choice})
            if recipe is not None and not wrong:
                self._add(i, recipe)

    def _recipe(
        self, i: int, model: type[Pretrain], chosen: dict[Any, tuple[Loc, Any]]
    ) -> Pretrain | None:
        values = {key: value for key, (_, value) in chosen.items()}
        wrong = _settle_samples_seen(model, values) + _settle_arch(self.doc.path, model, values)
        if wrong:  # the other keys are looked at too, beside values that are right
            values = {**values, **{str(loc[0]): "RN50" for loc, _ in wrong if loc == ("arch",)}}
            values |= {"samples_seen": 1} if "samples_seen" in model.model_fields else {}
        recipe, more = validate(model, values)
        wrong += more
        for loc, sentence in wrong:
            at = chosen[loc[0]][0] + loc[1:] if loc and loc[0] in chosen else loc
            self.mistakes.append((("pretrain", i, *at), sentence))
        return None if wrong else recipe

    def _add(self, i: int, recipe: Pretrain) -> None:
        same = recipe.model_dump_json()
        if same in self._from:
            first = self._from[same]
            what = "the same run twice" if first == i else f"a run that pretrain.{first} makes too"
            self.mistakes.append((("pretrain", i), f"makes {what}; drop one"))
            return
        self._from[same] = i
        self.recipes.append(recipe)
        self.blocks.append(i)


def _method_mistakes(block: Mapping[str, Any]) -> Iterator[Mistake]:
    method = block.get("method")
    if "method" not in block:
        yield (), f"is missing its method; add `method: ...`, one of {', '.join(sorted(METHODS))}"
    elif isinstance(method, list):
        yield ("method",), "cannot be an axis, since methods differ in their keys; write two blocks"
    elif not isinstance(method, str) or method not in METHODS:
        hint = nearest(str(method), METHODS, "methods are")
        yield ("method",), f"no method is called {shown(method)}; {hint}"


def _key_mistakes(model: type[Noun], block: Mapping[str, Any]) -> Iterator[Mistake]:
    keys = set(model.model_fields) | ({"epochs"} if "samples_seen" in model.model_fields else set())
    for key, value in block.items():
        if key not in keys:
            yield (key,), f"unknown key; {nearest(key, keys, 'the keys here are')}"
        elif value == []:
            yield (key,), "an empty list leaves no run; give it a value"


def _axis(model: type[Noun], key: str, value: Any) -> Iterator[tuple[Loc, Any]]:
    """The values of one key with their places: a list is an axis, unless the field is a list."""
    field = model.model_fields.get(key)
    takes_list = field is not None and "tuple" in str(field.annotation)
    is_axis = isinstance(value, list) and (not takes_list or (value and isinstance(value[0], list)))
    if not is_axis:
        yield (key,), value
    else:
        for i, item in enumerate(value):
            yield (key, i), item


def _settle_samples_seen(model: type[Noun], values: dict[str, Any]) -> list[Mistake]:
    """`epochs` is a way to say `samples_seen`; two ways to ask for the same run give one id."""
    if "samples_seen" not in model.model_fields:
        return []
    if "epochs" not in values:
        sentence = "is missing epochs (or samples_seen); add a line `epochs: ...`"
        return [] if "samples_seen" in values else [((), sentence)]
    epochs, samples = values.pop("epochs"), values.get("samples")
    if "samples_seen" in values:
        return [(("epochs",), "says the same as samples_seen; keep one of the two")]
    if not _is_number(epochs) or not epochs > 0:
        return [(("epochs",), f"must be a number greater than 0, got {shown(epochs)}")]
    values["samples_seen"] = round(epochs * samples) if _is_number(samples) else 1
    if values["samples_seen"] == 0 and samples:
        return [(("epochs",), f"is too small: {epochs} of {samples} samples is none; raise it")]
    return []


def _is_number(value: Any) -> bool:
    """A number that arithmetic can use."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e20


def _settle_arch(grid: Path, model: type[Noun], values: dict[str, Any]) -> list[Mistake]:
    """A known name stays; a JSON file is read in, since its content decides the result."""
    arch = values.get("arch")
    if not isinstance(arch, str):
        sentence = f"must be a name or a JSON file, got {shown(arch)}"
        return [(("arch",), sentence)] if "arch" in values else []
    if not arch.endswith(".json"):
        if arch in architectures.known():
            return []
        hint = nearest(arch, architectures.known(), "known are")
        return [(("arch",), f"no architecture is called {arch!r}; {hint}")]
    if model is Released:
        return [(("arch",), "must be a name, since nobody released weights for a file of yours")]
    path = grid.parent / arch
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        return [(("arch",), f"{path}: cannot be read ({why}); name a JSON model file")]
    if not isinstance(content, dict):
        return [(("arch",), f"{path}: must be a mapping, got {shown(content)}")]
    found, wrong = validate(Architecture, {**content, "name": path.stem})
    if found is None:
        return [(("arch",), f"{path}: {'.'.join(map(str, at))}: {why}") for at, why in wrong]
    values["arch"] = json.loads(found.model_dump_json()) | {"name": found.name}
    return []


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _all_trials(blocks: Any) -> tuple[list[Finetune], tuple[str, ...], list[Mistake]]:
    """The trials of `finetune`, which is one block or a list of them."""
    if blocks is None:
        return [], (), []
    listed = isinstance(blocks, list)
    trials: dict[str, Finetune] = {}
    tuned: dict[str, None] = {}
    wrong: list[Mistake] = []
    for i, block in enumerate(blocks if listed else [blocks]):
        place: Loc = ("finetune", i) if listed else ("finetune",)
        if not isinstance(block, dict):
            wrong.append((place, f"must be a mapping, got {shown(block)}"))
            continue
        found, keys, bad = _trials(block)
        wrong += [((*place, *loc), why) for loc, why in bad]
        tuned |= dict.fromkeys(keys)
        named = {trial.model_dump_json(): trial for trial in found}
        if trials.keys() & named.keys():
            wrong.append((place, "makes trials that a block before it makes too; drop them here"))
        trials |= named
    return list(trials.values()), tuple(tuned), wrong


def _trials(block: dict[str, Any]) -> tuple[list[Finetune], tuple[str, ...], list[Mistake]]:
    """The grid of a block: data sets x modes x shots x draws x tuned values."""
    axes, wrong = validate(_Axes, {k: v for k, v in block.items() if k in _Axes.model_fields})
    settings = {key: value for key, value in block.items() if key not in _Axes.model_fields}
    wrong += [*_unknown_settings(settings), *_no_axes(settings)]
    settings = {key: value for key, value in settings.items() if (key,) not in dict(wrong)}
    if axes is None:
        return [], (), wrong
    bad_axes = [*_repeated(axes), *_badly_tuned(axes, settings), *_missing_shots(axes, settings)]
    bad_axes = bad_axes or _too_many(_count(axes), ())
    if bad_axes:
        return [], (), wrong + bad_axes
    trials: list[Finetune] = []
    mistakes = dict.fromkeys(wrong)  # each trial makes those of the settings again
    for place, values in _expand(axes, settings):
        trial, bad = validate(Finetune, values)
        if trial is not None:
            trials.append(trial)
        for loc, why in bad:
            here = (*place.get(str(loc[0]), loc[:1]), *loc[1:]) if loc else ()
            mistakes[(here, why)] = None
    return trials, tuple(axes.tune), list(mistakes)


def _unknown_settings(settings: Mapping[str, Any]) -> Iterator[Mistake]:
    spanned = {"dataset", "shots", "draw", "mode"}
    keys = (set(Finetune.model_fields) - spanned) | set(_Axes.model_fields)
    for key in settings:
        if key not in keys:
            yield (key,), f"unknown key; {nearest(key, keys, 'the keys here are')}"


def _no_axes(settings: Mapping[str, Any]) -> Iterator[Mistake]:
    """Settings that are lists, where a trial has one value."""
    for key, value in settings.items():
        if isinstance(value, list) and key in Finetune.model_fields:
            way = f"write `tune: {{{key}: ...}}`" if key in TUNABLE else "write two blocks"
            yield (key,), f"has one value per block, got {shown(value)}; to compare several, {way}"


def _count(axes: _Axes) -> int:
    draws = sum(by_shots(axes.draws, shots) for shots in axes.shots)
    per_draw = len(axes.datasets) * len(axes.mode) * math.prod(map(len, axes.tune.values()))
    return int(draws * per_draw)


def _repeated(axes: _Axes) -> Iterator[Mistake]:
    lists: dict[str, list[Any]] = {
        "datasets": axes.datasets,
        "shots": axes.shots,
        "mode": axes.mode,
    }
    lists.update({f"tune.{key}": values for key, values in axes.tune.items()})
    for name, values in lists.items():
        for value in values:
            if values.count(value) > 1:
                yield tuple(name.split(".")), f"has {shown(value)} twice; keep one"


def _badly_tuned(axes: _Axes, settings: Mapping[str, Any]) -> Iterator[Mistake]:
    for key, values in axes.tune.items():
        if key not in TUNABLE:
            yield ("tune", key), f"cannot be tuned; {nearest(key, TUNABLE, 'what can is')}"
        elif len(values) < 2:
            way = f"write `{key}: {shown(values[0])}` instead" if values else "give two or more"
            number = "one value" if values else "no value"
            yield ("tune", key), f"has {number}, which leaves no choice; {way}"
        elif key in settings:
            yield (key,), f"is tuned in tune.{key} already; keep one of the two"
    if "lr" not in axes.tune and "lr" not in settings:
        yield (), "has no learning rate; add `tune: {lr: [1e-4, 3e-4, 1e-3, 3e-3]}` or `lr: ...`"


def _missing_shots(axes: _Axes, settings: Mapping[str, Any]) -> Iterator[Mistake]:
    """A mapping by shots must name each of the study's shots, and settings must allow one."""
    given = {"draws": axes.draws, **{key: settings.get(key) for key in _BY_SHOTS}}
    for key, value in given.items():
        if isinstance(value, Mapping):
            for shots in axes.shots:
                if str(shots) not in value:
                    yield (key,), f"has no value for {shots} shots; add `{shots}: ...`"


def _expand(
    axes: _Axes, settings: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Loc], dict[str, Any]]]:
    """Each trial's values, and where in the file the spanned ones stand."""
    tuned = [
        [(("tune", key, i), key, v) for i, v in enumerate(vs)] for key, vs in axes.tune.items()
    ]
    by_shots_given = [k for k, v in settings.items() if k in _BY_SHOTS and isinstance(v, Mapping)]
    for (d, dataset), (m, mode), (s, shots) in itertools.product(
        enumerate(axes.datasets), enumerate(axes.mode), enumerate(axes.shots)
    ):
        place: dict[str, Loc] = {
            "dataset": ("datasets", d),
            "mode": ("mode", m),
            "shots": ("shots", s),
            **{key: (key, str(shots)) for key in by_shots_given},
        }
        fixed = {
            key: by_shots(value, shots) if key in _BY_SHOTS else value
            for key, value in settings.items()
        }
        for draw in range(by_shots(axes.draws, shots)):
            for choice in itertools.product(*tuned):
                picked = {key: value for _, key, value in choice}
                places = place | {key: loc for loc, key, _ in choice}
                yield places, {
                    "dataset": dataset, "mode": mode, "shots": shots, "draw": draw,
                    **fixed, **picked,
                }  # fmt: skip
