"""From records to scores: cells, the choice in each, and the panels that are compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hpc_xfer.results import csv_files
from hpc_xfer.results.cells import Cell, Outcome, Record, outcome, planned_cells
from hpc_xfer.results.encoder_info import Encoders, encoders_of
from hpc_xfer.results.missing_runs import DIVERGED, MissingRun
from hpc_xfer.results.panels import PanelKey, Panels, panels_of
from hpc_xfer.results.scores import Score
from hpc_xfer.results.selection import Choice, choose_all
from hpc_xfer.results.test_images import HitsFile
from hpc_xfer.results.test_sets import TestSets, check_test_sets
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan


@dataclass(frozen=True)
class Analysis:
    """The cells of a study, what was chosen in each, and the scores."""

    encoders: Encoders
    test_sets: TestSets
    cells: Sequence[Cell]
    outcomes: Sequence[Outcome | None]  # one per cell; None while a run is missing
    choices: Sequence[Choice | None]  # one per cell
    scores: Sequence[Score]  # one per cell
    diverged: frozenset[str]  # ids of runs

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

    @property
    def panels(self) -> Panels:
        return panels_of(self.scores)

    @property
    def panel_settings(self) -> dict[PanelKey, tuple[tuple[str, str], ...]]:
        """Settings of fine-tunings that vary in the study, for each panel."""
        return {
            (cell.label, cell.dataset, str(cell.recipe.shots)): cell.varying for cell in self.cells
        }

    def hits_files(self, store: Store) -> dict[PanelKey, dict[str, list[HitsFile]]]:
        """Panel -> label -> the hits of the chosen values."""
        found: dict[PanelKey, dict[str, list[HitsFile]]] = {}
        for choice, score in zip(self.choices, self.scores, strict=True):
            if choice is not None and score.n_test:
                key = (score.mode, score.dataset, score.shots)
                file = HitsFile(
                    path=store.run(choice.run.id).hits,
                    row=choice.measured.place,
                    n_test=score.n_test,
                    top1=choice.test_top1,
                )
                found.setdefault(key, {}).setdefault(score.encoder.label, []).append(file)
        return found


def analyse(plan: Plan, records: Mapping[str, Record], absent: Sequence[MissingRun]) -> Analysis:
    """Choose a value in each complete cell; cells of different test sets are never one.

    Args:
        plan: all runs of the study.
        records: run id -> record, of the finished runs.
        absent: the runs without a record.
    """
    diverged = frozenset(
        run.run.id for run in absent if (run.state, run.error) == ("failed", DIVERGED)
    )
    encoders, test_sets = encoders_of(plan), check_test_sets(plan, records)
    cells = [_named(cell, test_sets) for cell in planned_cells(plan)]
    outcomes = [
        outcome(cell, plan.tuned, records, diverged) if test_sets.agree(cell.trials) else None
        for cell in cells
    ]
    choices = choose_all(outcomes, plan.choose)
    scores = [_score(cell, choice, encoders) for cell, choice in zip(cells, choices, strict=True)]
    return Analysis(encoders, test_sets, cells, outcomes, choices, scores, diverged)


def _named(cell: Cell, test_sets: TestSets) -> Cell:
    """Give a cell the name that its data set has in tables."""
    tested = [run for run in cell.trials if run.id in test_sets.keys]
    if not tested:
        return cell
    name = test_sets.name(tested[0])
    return cell if name == cell.dataset else replace(cell, dataset=name)


def _score(cell: Cell, choice: Choice | None, encoders: Encoders) -> Score:
    metrics = {} if choice is None else choice.measured.record["metrics"]
    return Score(
        encoder=encoders[cell.encoder],
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
