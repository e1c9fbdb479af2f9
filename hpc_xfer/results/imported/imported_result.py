"""One result from elsewhere: a row of the CSV that a user imports, and of the copy in the store."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hpc_xfer.results.cells import Value

REQUIRED = ("dataset", "shots", "mode", "test_top1")
ENCODER = ("label", "method", "arch", "source", "samples", "samples_seen")
CELL = ("seed", "dataset", "shots", "draw", "mode")
SHARES = ("val_top1", "test_top1", "test_top5")
COUNTS = ("n_test", "labels")
# Settings whose columns hold tuned values without being asked; `import --tuned` adds others.
TUNED = (
    "lr", "weight_decay", "epochs", "batch", "l2", "k", "layer_decay", "drop_path", "warmup_steps",
    "label_smoothing",
)  # fmt: skip
NOTE = "note "  # opens the name of a column in the store that no table uses

Settings = tuple[str, str, str, int | None, int | None]  # ENCODER without the label


@dataclass(frozen=True)
class ImportedResult:
    """One test accuracy at one value of what was tuned; the first fields are columns."""

    label: str  # as the file has it; empty where the tables name the encoder
    method: str
    arch: str
    source: str
    samples: int | None
    samples_seen: int | None
    seed: str  # of the pre-training; empty where there is one
    dataset: str
    shots: str
    draw: str
    mode: str
    val_top1: float | None
    test_top1: float
    test_top5: float | None
    n_test: int | None
    labels: int | None
    tuned: Value
    notes: tuple[tuple[str, str], ...] = field(compare=False)  # columns that no table uses
    place: str = field(compare=False)  # file and line, for errors

    @property
    def settings(self) -> Settings:
        """Return what describes the encoder, without its label."""
        return self.method, self.arch, self.source, self.samples, self.samples_seen

    @property
    def named(self) -> tuple[str, Settings]:
        """Return what describes the encoder, as the file gives it."""
        return self.label, self.settings

    @property
    def cell(self) -> tuple[str, str, str, str, str]:
        """Return the cell, without its encoder: the fields of CELL."""
        return self.seed, self.dataset, self.shots, self.draw, self.mode

    @property
    def as_row(self) -> dict[str, object]:
        """Return the row in the store; numbers keep every digit."""
        names = (*ENCODER, *CELL, *SHARES, *COUNTS)
        notes = {f"{NOTE}{name}": value for name, value in self.notes}
        return {name: getattr(self, name) for name in names} | self.tuned_columns | notes

    @property
    def tuned_columns(self) -> dict[str, float]:
        """Return the tuned values; a whole number is written as one."""
        return {key: int(value) if value.is_integer() else value for key, value in self.tuned}


def stored_columns(results: Iterable[ImportedResult]) -> list[str]:
    """List the columns of the file in the store."""
    further = [name for result in results for name in list(result.as_row)]
    return list(dict.fromkeys((*ENCODER, *CELL, *SHARES, *COUNTS, *further)))
