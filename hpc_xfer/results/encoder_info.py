"""The encoders of a study: the columns by which every table names them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.recipes import METHODS, Trained, encoder_points
from hpc_xfer.results.tables import csv_files
from hpc_xfer.results.tables.csv_files import Row
from hpc_xfer.study.labels import at_snapshot, pretrain_labels
from hpc_xfer.study.plan import NONE, Plan, Run
from hpc_xfer.study.study_facts import StudyFacts

Settings = tuple[tuple[str, str], ...]  # (("pretrain_lr", "0.001"),)
_WHERE_GIVEN = ("curation", "settings")
EncoderKey = tuple[str, int | None]  # id of a pre-training; its snapshot, or None for its end


@dataclass(frozen=True)
class EncoderInfo:
    """One encoder in tables and figures; the seeds of a pre-training share one.

    The fields are columns, in this order; csv_files.typed reads them back by name and type.
    """

    label: str
    method: str
    arch: str
    source: str  # empty where it has none
    samples: int | None
    samples_seen: int | None  # when it was saved; None where it was not trained here
    snapshot: int | None  # the same number, where it was saved before the end
    curation: str = ""  # level that the study gives to the source, such as `curated` or `web`
    settings: Settings = ()  # others of the pre-training that vary in the study, without the seed

    @property
    def epochs(self) -> float | None:
        """Passes over its samples; None where it has none, or samples seen are not known."""
        if self.samples is None or self.samples_seen is None:
            return None
        return round(self.samples_seen / self.samples, 3)  # whole steps cut the last few samples

    @property
    def row(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in ENCODER_COLUMNS}

    @property
    def whole_row(self) -> dict[str, object]:
        """The columns with those that only some studies have, see setting_columns."""
        curation = {"curation": self.curation} if self.curation else {}
        return self.row | curation | dict(self.settings)


# `curation` and `settings` are columns only where the study has them.
ENCODER_COLUMNS = tuple(f.name for f in fields(EncoderInfo) if f.name not in _WHERE_GIVEN)
Encoders = Mapping[EncoderKey, EncoderInfo]
SETTING = "pretrain_"  # how the names of settings begin
# Seeds are repetitions; the number of GPUs comes with `batchnorm: per-gpu`, and is one in a study.
_NO_SETTINGS = (f"{SETTING}seed", f"{SETTING}ranks")
# Settings that methods have in common: one that leaves them out is compared as being without them.
_OF_SEVERAL_METHODS = {*Trained.model_fields, "lock", "caption"}
_SNAPSHOTS = f"{SETTING}snapshots"  # they change no encoder, so to keep none is no setting


def setting_columns(encoders: Iterable[EncoderInfo]) -> list[str]:
    """List the columns that tables of these encoders have besides ENCODER_COLUMNS."""
    found = dict.fromkeys(encoders)
    curation = ["curation"] if any(encoder.curation for encoder in found) else []
    names = dict.fromkeys(name for encoder in found for name, _ in encoder.settings)
    return [*curation, *names]


def read_encoder(row: Row) -> EncoderInfo:
    """Read the columns of an encoder back from a table."""
    settings = tuple(
        (name, value)
        for name, value in row.items()
        if name.startswith(SETTING) and name not in _NO_SETTINGS and value
    )
    return csv_files.typed(EncoderInfo, row, settings=settings)


def encoders_of(plan: Plan) -> dict[EncoderKey, EncoderInfo]:
    """Describe the end and every snapshot of each pre-training."""
    parents = plan.of("pretrain")
    labels = pretrain_labels(parents)
    varying = _varying_settings(parents)
    return {
        (run.id, snapshot): replace(
            _encoder_info(run, snapshot, plan.facts),
            label=at_snapshot(run, snapshot, labels),
            settings=_settings(run, varying),
        )
        for run in parents
        for snapshot in _snapshots(run)
    }


def encoder_key(run: Run) -> EncoderKey:
    """Name the encoder that a pre-training makes, or that a fine-tuning starts from."""
    if isinstance(run.recipe, Finetune):
        return run.parents[0].id, run.recipe.snapshot
    return run.id, None


def _snapshots(run: Run) -> tuple[int | None, ...]:
    assert not isinstance(run.recipe, Finetune)
    return encoder_points(run.recipe)


def _varying_settings(parents: Sequence[Run]) -> dict[str, set[str]]:
    """Map the settings of which the study has two values or more to the methods that have them.

    A setting that only some runs of a method have, such as `init`, has two values: theirs, and
    None. So has one that only some of the methods use that could.
    """
    values: dict[str, set[str]] = {}
    having: dict[str, set[str]] = {}
    every = {run.id: run.columns for run in parents}
    for columns in every.values():
        for name, value in columns.items():
            if name.startswith(SETTING) and name not in _NO_SETTINGS:
                values.setdefault(name, set()).add(csv_files.cell(value))
                having.setdefault(name, set()).add(columns["method"])
    for name, methods in having.items():
        if name == _SNAPSHOTS:
            continue
        methods |= _that_could_have(name, every.values())
        if any(name not in row and row["method"] in methods for row in every.values()):
            values[name].add(NONE)
    return {name: having[name] for name, found in values.items() if len(found) > 1}


def _that_could_have(name: str, rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Find the methods in which to leave a setting out is a choice, too."""
    field = name.removeprefix(SETTING)
    if field not in _OF_SEVERAL_METHODS:
        return set()
    methods = {row["method"] for row in rows}
    return {method for method in methods if field in METHODS[method].model_fields}


def _settings(run: Run, varying: Mapping[str, set[str]]) -> Settings:
    columns = run.columns
    return tuple(
        (name, csv_files.cell(columns[name]) if name in columns else NONE)
        for name, methods in varying.items()
        if columns["method"] in methods
    )


def _encoder_info(run: Run, snapshot: int | None, facts: StudyFacts) -> EncoderInfo:
    """Describe an encoder; what a recipe cannot know of released weights, the facts may state."""
    columns = run.columns
    stated = facts.of_weights(columns.get("weights"))
    source = columns.get("source") or stated.source or ""
    seen = columns.get("samples_seen", stated.samples_seen)
    return EncoderInfo(
        label="",
        method=stated.method or columns["method"],
        arch=columns["arch"],
        source=source,
        samples=columns.get("samples", stated.samples),
        samples_seen=seen if snapshot is None else snapshot,
        snapshot=snapshot,
        curation=facts.curation_of(source),
    )
