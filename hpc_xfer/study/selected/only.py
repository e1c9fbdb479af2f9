"""Select a part of a study by columns of its recipes: `--only method=clip,source=laion`.

    ids = selected(plan, ["source=laion,shots=1|5"])
    part = part_of(plan, ids)        # with the pre-trainings that these runs start from

Columns are those of pre-trainings as in runs.csv, dataset, shots, mode, draw, and `run`, the start
of an id. A run is selected where it has one of the values of each column; `none` is an empty cell
of a pre-training. A second --only selects further runs.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.notation.units import read_count
from hpc_xfer.config.schema import nearest
from hpc_xfer.errors import NothingSelected, StudyError
from hpc_xfer.study.plan import NONE, Plan, Run

OF_TRIALS = ("dataset", "shots", "mode", "draw")
_ID = "run"
_SHORTEST_ID = 4  # characters
_MOST_TOLD = 12  # values of a column in a message

Conditions = Mapping[str, Sequence[str]]


def selected(plan: Plan, given: Iterable[str]) -> frozenset[str]:
    """Return the ids of the runs that arguments of --only select.

    Raises:
        StudyError: an argument is no condition.
        NothingSelected: a column or a value that no run of the plan has; or they select nothing.
    """
    found: set[str] = set()
    table = _Table(plan)
    for text in given:
        conditions = _read(text)
        wrong = [why for each in conditions.items() if (why := table.why_wrong(*each))]
        if wrong:
            raise NothingSelected(*(f"--only {text}: {why}" for why in wrong))
        mine = {run.id for run in plan.runs if table.has(run, conditions)}
        if not mine:
            raise NothingSelected(f"--only {text}: no run meets all conditions; leave one out")
        found |= mine
    return frozenset(found)


def needed(plan: Plan, ids: Iterable[str]) -> frozenset[str]:
    """Add the pre-trainings that runs start from, directly or in a row."""
    found = set(ids)
    for run in reversed(plan.runs):  # children come after their parents
        if run.id in found:
            found |= {parent.id for parent in run.parents}
    return frozenset(found)


def part_of(plan: Plan, ids: Iterable[str]) -> Plan:
    """Return the plan of these runs and of what they need."""
    kept = needed(plan, ids)
    return plan.without(run.id for run in plan.runs if run.id not in kept)


def _read(text: str) -> dict[str, list[str]]:
    """Read `a=1|2,b=x`; a comma inside a value is one that no COLUMN= follows."""
    conditions: dict[str, list[str]] = {}
    for part in re.split(r",(?=\s*\w+\s*=)", text):
        key, equals, values = part.partition("=")
        if not equals or not key.strip() or not values.strip():
            raise StudyError(f"--only {text}: must be COLUMN=VALUE, such as method=clip,shots=1|5")
        listed = [value.strip() for value in values.split("|")]
        conditions.setdefault(key.strip(), []).extend(listed)
    return conditions


class _Table:
    """The columns of a plan, looked up once per pre-training: 40,000 runs share 27 of them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.pretrains = {run.id: run.columns for run in plan.of("pretrain")}
        trials = plan.of("finetune")
        self.columns = list(dict.fromkeys(key for row in self.pretrains.values() for key in row))
        self.columns += [*(OF_TRIALS if trials else ()), _ID]
        self._values: dict[str, list[Any]] = {}

    def why_wrong(self, column: str, asked: Sequence[str]) -> str:
        """Say what is wrong with a condition; "" if nothing is."""
        if column not in self.columns:
            own = f"pretrain_{column}"
            hint = nearest(column, self.columns, "columns are")
            hint = f"did you mean {own!r}?" if own in self.columns else hint
            return f"no run has a column {column!r}; {hint}"
        known = self.values(column)
        same = _starts if column == _ID else _same
        for value in asked:
            if not any(same(value, each) for each in known):
                return f"no run has {column} {value!r}; {self._hint(column, value, known)}"
        return ""

    def _hint(self, column: str, value: str, known: Sequence[Any]) -> str:
        """Say how to write several values, or which values there are."""
        if column == _ID:
            short = len(value) < _SHORTEST_ID
            least = f"write {_SHORTEST_ID} or more characters of an id; " if short else ""
            return f"{least}`status --json` lists them"
        parts = [part for part in re.split(r"[\s,;&\[\]]+", value) if part]
        if len(parts) > 1 and all(any(_same(part, each) for each in known) for part in parts):
            return f"for several, write {column}={'|'.join(parts)}"
        if found := re.search(r"[\s;&]+(\w+)=", value):
            return f"write a comma between conditions, before {found[1]}="
        inside = [str(each) for each in known if value in re.split(r" [\d.]+%\+?|\+", str(each))]
        if inside:
            return f"it is a part of {' and '.join(map(repr, inside[:_MOST_TOLD]))}"
        words = [str(each) for each in known]
        told = nearest(value.replace(",", " "), words[:_MOST_TOLD], "its values are")
        return told if len(words) <= _MOST_TOLD else f"{told} and {len(words) - _MOST_TOLD} more"

    def has(self, run: Run, conditions: Conditions) -> bool:
        return all(
            any(self._same_as(column)(asked, self.value(run, column)) for asked in values)
            for column, values in conditions.items()
        )

    def values(self, column: str) -> list[Any]:
        """The values of a column, each once."""
        if column not in self._values:
            every = (self.value(run, column) for run in self.plan.runs)
            self._values[column] = list(dict.fromkeys(each for each in every if each is not None))
        return self._values[column]

    def value(self, run: Run, column: str) -> Any:
        """The value of a run: "none" for an empty cell, None where only trials have the column."""
        if column == _ID:
            return run.id
        if not isinstance(run.recipe, Finetune):
            return None if column in OF_TRIALS else self.pretrains[run.id].get(column, NONE)
        if column in OF_TRIALS:
            return getattr(run.recipe, column, None)
        if column == "samples_seen" and run.recipe.snapshot is not None:
            return run.recipe.snapshot
        parent = run.parents[0]
        row = self.pretrains.get(parent.id) or parent.columns
        return row.get(column, NONE)

    @staticmethod
    def _same_as(column: str) -> Callable[[str, Any], bool]:
        return _starts if column == _ID else _same


def _starts(asked: str, run_id: Any) -> bool:
    return len(asked) >= _SHORTEST_ID and str(run_id).startswith(asked)


def _same(asked: str, value: Any) -> bool:
    """Compare as a grid is read: 2.7M is 2700000, 1e-3 is 0.001, null is none."""
    if value is None:
        return False
    if asked == str(value) or asked.lower() == str(value).lower() in ("true", "false", "none"):
        return True
    if isinstance(value, str):  # the sources of a mixture may be named in any order
        parts = [part.strip() for part in asked.split("+")]
        is_same_mixture = len(parts) > 1 and sorted(parts) == sorted(value.split("+"))
        return is_same_mixture or (asked == "null" and value == "none")
    number = _number(asked)
    return number is not None and not isinstance(value, bool) and number == value


def _number(text: str) -> float | int | None:
    try:
        read = read_count(text)
        return float(read) if isinstance(read, str) else read
    except ValueError:
        return None
