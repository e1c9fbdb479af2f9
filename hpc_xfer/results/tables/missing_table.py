"""missing.csv: runs without a result and cells without a choice, each with the reason."""

from collections.abc import Collection, Iterator, Sequence

from hpc_xfer.results.analysis import Analysis
from hpc_xfer.results.cells import DIVERGED_VALUE, Cell, Outcome
from hpc_xfer.results.encoder_info import Encoders
from hpc_xfer.results.parts.missing_runs import DIVERGED, MissingRun
from hpc_xfer.results.parts.names import Names
from hpc_xfer.results.selection import partly_done
from hpc_xfer.results.tables.cells_table import CELL_COLUMNS, cell_identity
from hpc_xfer.results.tables.runs_table import run_identity

COLUMNS_AFTER = ("state", "class", "message")
MISSING_ROWS = ("absent", "incomplete", "hopeless", "mixed")  # the kinds of rows, in their order


def missing_columns(tuned: Sequence[str]) -> list[str]:
    """List the columns of missing.csv."""
    return ["run", "kind", *CELL_COLUMNS, *tuned, *COLUMNS_AFTER]


def missing_rows(
    absent: Sequence[MissingRun], found: Analysis, names: Names
) -> dict[str, list[dict[str, object]]]:
    """Make the rows of missing.csv of each kind, in the order of the plan.

    Args:
        absent: the runs without a result.
        found: what became of the cells.
        names: of all of them.
    """
    columns = missing_columns(names.tuned)
    waited_for = {missing.run.id for missing in absent if not missing.diverged}
    cells = {
        "incomplete": _incomplete(found.cells, waited_for),
        "hopeless": _hopeless(found.without_choice),
        "mixed": _mixed(found.mixed),
    }
    rows = {
        kind: [
            {**cell_identity(cell, names.encoders), "run": "", "kind": "cell", **reason}
            for cell, reason in each
        ]
        for kind, each in cells.items()
    }
    return {"absent": [_run_row(each, columns, names.encoders) for each in absent], **rows}


def _run_row(missing: MissingRun, columns: Sequence[str], encoders: Encoders) -> dict[str, object]:
    settings = {key: value for key, value in missing.run.columns.items() if key in columns}
    reason = _reason(missing.state, missing.error, missing.message)
    return {**settings, **run_identity(missing.run, encoders), **reason}


def _incomplete(
    cells: Sequence[Cell], waited_for: Collection[str]
) -> Iterator[tuple[Cell, dict[str, object]]]:
    for cell, n in partly_done(cells, waited_for):
        message = f"{n} of {len(cell.trials)} trials finished; none is chosen before all are"
        yield cell, _reason("incomplete", "", message)


def _hopeless(outcomes: Sequence[Outcome]) -> Iterator[tuple[Cell, dict[str, object]]]:
    for outcome in outcomes:
        why = set(outcome.lost.values())
        if not outcome.measured and why == {DIVERGED_VALUE}:
            n = len(outcome.cell.trials)
            message = f"all {n} trials diverged; tune over smaller learning rates"
            yield outcome.cell, _reason("failed", DIVERGED, message)
        elif not outcome.measured:
            message = "no value of the path converged; look at gradient_norm in its record"
            yield outcome.cell, _reason("failed", "NotConverged", message)
        else:
            message = "each value was lost in some draw; set choose: per-draw, or tune other values"
            yield outcome.cell, _reason("failed", "NoCommonValue", message)


def _mixed(cells: Sequence[Cell]) -> Iterator[tuple[Cell, dict[str, object]]]:
    for cell in cells:
        message = "its trials were tested on different images; run `datasets check`, launch again"
        yield cell, _reason("failed", "TestSetChanged", message)


def _reason(state: str, error: str, message: str) -> dict[str, object]:
    return {"state": state, "class": error, "message": message}
