"""From the records of a part to scores: its cells, and the choice in each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from hpc_xfer.results.cells import Cell, Outcome, Record, cells_of, outcome
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.parts.names import Names
from hpc_xfer.results.parts.test_sets import TestKey, TestSets, tested_on
from hpc_xfer.results.scores import Score
from hpc_xfer.results.selection import Choice, choose_all
from hpc_xfer.results.tables import csv_files
from hpc_xfer.study.plan import Run


@dataclass(frozen=True)
class Analysis:
    """The cells of a part, what was chosen in each, and the scores."""

    test_sets: TestSets
    cells: Sequence[Cell]
    outcomes: Sequence[Outcome | None]  # one per cell; None while a run is missing
    choices: Sequence[Choice | None]  # one per cell
    scores: Sequence[Score]  # one per cell

    @property
    def chosen(self) -> list[Choice]:
        return [choice for choice in self.choices if choice is not None]

    @property
    def without_choice(self) -> list[Outcome]:
        """Complete cells in which no value can be chosen."""
        both = zip(self.outcomes, self.choices, strict=True)
        return [found for found, choice in both if found is not None and choice is None]

    @property
    def mixed(self) -> list[Cell]:
        """Cells whose runs were tested on different images."""
        return [cell for cell in self.cells if not self.test_sets.agree(cell.trials)]


def analyse(
    trials: Sequence[Run],
    names: Names,
    records: Mapping[str, Record],
    diverged: Collection[str],
    versions: Mapping[TestKey, str],
) -> Analysis:
    """Choose a value in each complete cell; cells of different test sets are never one.

    Args:
        trials: all planned fine-tunings of one encoder, data set and shot count.
        names: what tables call them.
        records: run id -> record, of the finished ones.
        diverged: ids of those whose loss became infinite.
        versions: names of the data set's versions, where it has several.
    """
    keys = {run.id: tested_on(records[run.id]) for run in trials if run.id in records}
    test_sets = TestSets(keys, versions)
    cells = [_named(cell, test_sets) for cell in cells_of(trials, names.finetune_settings)]
    outcomes = [
        outcome(cell, names.tuned, records, diverged) if test_sets.agree(cell.trials) else None
        for cell in cells
    ]
    choices = choose_all(outcomes, names.choose)
    scores = [
        _score(cell, choice, names.encoders[cell.encoder])
        for cell, choice in zip(cells, choices, strict=True)
    ]
    return Analysis(test_sets, cells, outcomes, choices, scores)


def _named(cell: Cell, test_sets: TestSets) -> Cell:
    """Give a cell the name that its data set has in tables."""
    tested = [run for run in cell.trials if run.id in test_sets.keys]
    if not tested:
        return cell
    name = test_sets.name(tested[0])
    return cell if name == cell.dataset else replace(cell, dataset=name)


def _score(cell: Cell, choice: Choice | None, encoder: EncoderInfo) -> Score:
    metrics = {} if choice is None else choice.measured.record["metrics"]
    return Score(
        encoder=encoder,
        pretrain_seed=csv_files.cell(cell.seed),
        dataset=cell.dataset,
        shots=str(cell.recipe.shots),
        draw=str(cell.recipe.draw),
        mode=cell.label,
        test_top1=None if choice is None else choice.test_top1,
        labels=metrics.get("labels"),
        n_test=metrics.get("n_test"),
        version_of="" if cell.dataset == cell.recipe.dataset else cell.recipe.dataset,
    )
