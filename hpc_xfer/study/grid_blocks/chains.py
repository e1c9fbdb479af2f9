"""Link pre-trainings that start from another of the grid: `init: NAME`, the name of a block.

    linked, errors = link_runs(made, names)

A run starts from the run of the named block that has its seed. Where that block has further axes,
it starts from each of their runs, and makes one run per parent; from those with equal values only
where both blocks state the axis as a list. Values are compared as recipes have them, since `1M` and
1000000 are one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hpc_xfer.config.recipes import ImageText, Pretrain, arch_name
from hpc_xfer.config.schema import ConfigError, format_value
from hpc_xfer.config.yaml_document import Loc

_OF_RECIPES = ("seed", "arch")  # matched also where only the named block states them as lists


@dataclass(frozen=True)
class _RunOfBlock:
    """A run of a block."""

    block: int
    recipe: Pretrain
    axes: Mapping[str, Any]  # its values of the keys that are lists in the block

    def value(self, key: str) -> Any:
        """Return a setting as its recipe has it, so that 2k is 2000."""
        if key in self._spec:
            return self._spec[key]
        return self.axes.get(key)  # epochs, which recipes have as samples seen

    def written(self, key: str) -> str:
        return format_value(self.axes[key] if key in self.axes else self.value(key))

    @cached_property
    def _spec(self) -> dict[str, Any]:
        return self.recipe.model_dump(mode="json")


@dataclass(frozen=True)
class MadeRun(_RunOfBlock):
    """A run that a block makes, before it is known what it starts from."""

    start: str | None = None  # name of the block that it starts from


@dataclass(frozen=True)
class LinkedRun(_RunOfBlock):
    """A run with the place of its parent in the list of linked runs."""

    parent: int | None = None


def link_runs(
    made: Sequence[MadeRun], names: Mapping[str, int]
) -> tuple[list[LinkedRun], list[ConfigError]]:
    """Return the runs, parents before children and otherwise in the order of the file.

    Args:
        names: of blocks, with their numbers.
    """
    if all(run.start is None for run in made):
        return [LinkedRun(run.block, run.recipe, run.axes) for run in made], []
    order, wrong = _order(made, names)
    linked: list[LinkedRun] = []
    errors: dict[ConfigError, None] = dict.fromkeys(wrong)
    for block in order:
        for run in (run for run in made if run.block == block):
            if run.start is None:
                linked.append(LinkedRun(run.block, run.recipe, run.axes))
                continue
            of_block = [i for i, each in enumerate(linked) if each.block == names[run.start]]
            parents, why = _parents_of(run, run.start, [(i, linked[i]) for i in of_block])
            errors |= dict.fromkeys((_init_of(run.block), sentence) for sentence in why)
            linked += [LinkedRun(run.block, run.recipe, run.axes, parent) for parent in parents]
    return linked, list(errors)


def _init_of(block: int) -> Loc:
    return ("pretrain", block, "init")


def _order(
    made: Sequence[MadeRun], names: Mapping[str, int]
) -> tuple[list[int], list[ConfigError]]:
    """Sort the blocks so that each comes after those that it starts from."""
    needs: dict[int, set[int]] = {}
    for run in made:
        needs.setdefault(run.block, set()).update({names[run.start]} if run.start else ())
    waiting = list(needs)
    order: list[int] = []
    while waiting:
        ready = next((block for block in waiting if not needs[block] & set(waiting)), None)
        if ready is None:
            return order, [_circle(waiting, needs, names)]
        waiting.remove(ready)
        order.append(ready)
    return order, []


def _circle(
    waiting: Sequence[int], needs: Mapping[int, set[int]], names: Mapping[str, int]
) -> ConfigError:
    """Name the blocks of a circle; each walk ends in one where all wait for another."""
    called = {block: name for name, block in names.items()}
    path = [waiting[0]]
    while path[-1] not in path[:-1]:
        path.append(min(needs[path[-1]] & set(waiting)))
    circle = path[path.index(path[-1]) :]
    if len(circle) == 2:
        why = f"block {called[circle[0]]!r} cannot start from itself; name another block or weights"
    else:
        words = " -> ".join(called[block] for block in circle)
        why = f"the blocks start from each other in a circle, {words}; remove one init"
    return _init_of(circle[0]), why


def _parents_of(
    run: MadeRun, name: str, candidates: Sequence[tuple[int, LinkedRun]]
) -> tuple[list[int], list[str]]:
    """Return the places of the runs that a run starts from, or sentences on what is wrong."""
    found = list(candidates)
    for key in dict.fromkeys(key for _, each in candidates for key in (*each.axes, *_OF_RECIPES)):
        if key == "init" or (key not in _OF_RECIPES and key not in run.axes):
            continue  # a child per parent
        values = [each.value(key) for _, each in candidates]
        if key == "seed" and all(value == values[0] for value in values):
            continue  # the only one there is
        wanted = run.value(key)
        found = [(i, each) for i, each in found if each.value(key) == wanted]
        if not found:
            return [], [_no_such_run(run, name, key, [each for _, each in candidates])]
    return [i for i, _ in found], list(_unfit(run, name, [each for _, each in found]))


def _no_such_run(run: MadeRun, name: str, key: str, runs: Sequence[LinkedRun]) -> str:
    if key == "arch":
        have = " or ".join(dict.fromkeys(arch_name(each.recipe.arch) for each in runs))
        return (
            f"block {name!r} trains arch {have}, and a run of this block has arch "
            f"{arch_name(run.recipe.arch)}; give both the same arch"
        )
    have = ", ".join(dict.fromkeys(each.written(key) for each in runs))
    return (
        f"block {name!r} has no run with {key} {run.written(key)} to start from; add "
        f"the value there, or use one of its values here: {have}"
    )


def _unfit(run: MadeRun, name: str, parents: Sequence[LinkedRun]) -> Iterator[str]:
    lock = run.recipe.lock if isinstance(run.recipe, ImageText) else None
    if lock == "text" and not all(parent.recipe.uses_text for parent in parents):
        yield (
            f"block {name!r} has no text tower, and lock: text would keep random weights; start "
            "from a block of clip or siglip, or remove lock"
        )
