"""Choose among imported results as among the study's own, and give their scores and table rows.

imported = read_imported(folder, own)
scores += imported.scores
columns, rows = imported.added_to(cells_table(...))
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from hpc_xfer.errors import StoreError
from hpc_xfer.results.cells import Value
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.imported.combined import Combined, OwnStudy, combine
from hpc_xfer.results.imported.imported_result import ImportedResult
from hpc_xfer.results.imported.results_file import read_stored
from hpc_xfer.results.scores import Score
from hpc_xfer.results.tables.csv_files import Table, fixed
from hpc_xfer.store.paths import StudyDir

ON_TEST = " (selected on test)"  # ends the mode of results that no validation chose
RUN = "imported"  # in place of the id of a run

Pool = tuple[EncoderInfo, str, str, str, str]  # seed, data set, shots, mode: one choice for all
Draws = dict[str, dict[Value, ImportedResult]]


@dataclass(frozen=True)
class ImportedCell:
    """One cell: all values that were imported for it, and the one that was chosen."""

    encoder: EncoderInfo
    dataset: str
    mode: str
    values: tuple[ImportedResult, ...]
    chosen: ImportedResult
    draws: int  # that the choice was made over

    @property
    def score(self) -> Score:
        return Score(
            encoder=self.encoder,
            pretrain_seed=self.chosen.seed,
            dataset=self.dataset,
            shots=self.chosen.shots,
            draw=self.chosen.draw,
            mode=self.mode,
            test_top1=self.chosen.test_top1,
            labels=self.chosen.labels,
            n_test=self.chosen.n_test,
        )

    @property
    def row(self) -> dict[str, object]:
        """Make the row of cells.csv."""
        chosen, tests = self.chosen, [result.test_top1 for result in self.values]
        return {
            **self.encoder.row,
            "pretrain_seed": chosen.seed,
            "dataset": self.dataset,
            "shots": chosen.shots,
            "draw": chosen.draw,
            "mode": self.mode,
            "trials": len(self.values),
            "trials_planned": len(self.values),
            "run": RUN,
            **chosen.tuned_columns,
            **self._edges,
            "chosen_over_draws": self.draws if self.draws > 1 else "",
            "val_top1": fixed(chosen.val_top1),
            "test_top1": fixed(chosen.test_top1),
            "test_top5": fixed(chosen.test_top5),
            "test_mean_of_trials": fixed(statistics.fmean(tests)),
            "test_best_of_trials": fixed(max(tests)),
            "n_test": chosen.n_test,
            "labels": chosen.labels,
        }

    @property
    def _edges(self) -> dict[str, str]:
        """Say where the chosen value is the lowest or highest that was tried."""
        edges = {}
        for name, chosen in self.chosen.tuned:
            tried = {dict(result.tuned).get(name, chosen) for result in self.values}
            ends = {min(tried): "low", max(tried): "high"} if len(tried) > 1 else {}
            edges[f"{name}_edge"] = ends.get(chosen, "")
        return edges


@dataclass(frozen=True)
class Imported:
    """All imported results of a study."""

    cells: tuple[ImportedCell, ...] = ()

    @cached_property
    def scores(self) -> tuple[Score, ...]:
        return tuple(cell.score for cell in self.cells)

    @cached_property
    def cell_rows(self) -> tuple[dict[str, object], ...]:
        return tuple(cell.row for cell in self.cells)

    @property
    def tuned(self) -> list[str]:
        """List the settings that were chosen, in order of first appearance."""
        chosen = (name for cell in self.cells for name, _ in cell.chosen.tuned)
        return list(dict.fromkeys(chosen))

    def added_to(self, table: Table) -> Table:
        """Return cells.csv with these rows at its end; columns that it lacks come last."""
        columns, rows = table
        further = [
            name
            for row in self.cell_rows
            for name, value in row.items()
            if name not in columns and value not in ("", None)
        ]
        known = list(dict.fromkeys((*columns, *further)))
        mine = [{n: value for n, value in row.items() if n in known} for row in self.cell_rows]
        return known, [*rows, *mine]


def read_imported(folder: StudyDir, own: OwnStudy) -> Imported:
    """Read what was imported into a study.

    Raises:
        StudyError: a file is damaged.
        StoreError: the study has changed, and contradicts what was imported.
    """
    results = [
        result for path in sorted(folder.imported.glob("*.csv")) for result in read_stored(path)
    ]
    if not results:
        return Imported()
    combined = combine(results, own)
    if combined.wrong:
        raise StoreError(
            f"{combined.wrong[0]}; the study has changed since: import a corrected file under the "
            "same name, or remove it with `python -m hpc_xfer.import --remove`"
        )
    return Imported(tuple(imported_cells(combined)))


def imported_cells(combined: Combined) -> Iterable[ImportedCell]:
    """Choose one value for all draws of a question, as selection.py does; yield every cell."""
    pools: dict[Pool, Draws] = {}
    for encoder, result in combined.results:
        key = (encoder, result.seed, result.dataset, result.shots, result.mode)
        pools.setdefault(key, {}).setdefault(result.draw, {})[result.tuned] = result
    for (encoder, _, dataset, shots, mode), draws in pools.items():
        everything = [result for values in draws.values() for result in values.values()]
        on_test = any(result.val_top1 is None for result in everything)
        best = _best(list(draws.values()), on_test)
        for values in draws.values():
            own_best = _best([values], on_test) if best is None else best
            assert own_best is not None, "a draw has at least one value"
            yield ImportedCell(
                encoder=encoder,
                dataset=combined.datasets[dataset],
                mode=f"{mode}{ON_TEST}" if on_test and shots != "0" else mode,
                values=tuple(values.values()),
                chosen=values[own_best],
                draws=1 if best is None else len(draws),
            )


def _best(draws: Sequence[Mapping[Value, ImportedResult]], on_test: bool) -> Value | None:
    """Find the best value over draws; None if no value was measured in each of them."""
    common = [value for value in draws[0] if all(value in values for values in draws)]
    return min(common, key=lambda value: _rank(value, draws, on_test)) if common else None


def _rank(
    value: Value, draws: Sequence[Mapping[Value, ImportedResult]], on_test: bool
) -> tuple[object, ...]:
    """Order values: higher mean accuracy, then the simpler classifier.

    Simpler is the larger penalty, the larger number of neighbors, the smaller learning rate.
    """
    found = [values[value] for values in draws]
    shares = [result.test_top1 if on_test else result.val_top1 or 0.0 for result in found]
    simpler = [(name, -number if name in ("l2", "k") else number) for name, number in value]
    return -round(statistics.fmean(shares), 12), simpler
