"""The encoders of a study: the columns by which every table names them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.recipes import encoder_points
from hpc_xfer.study.labels import at_snapshot, pretrain_labels
from hpc_xfer.study.plan import Plan, Run
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
    def row(self) -> dict[str, object]:
        named = {name: getattr(self, name) for name in ENCODER_COLUMNS}
        return named | ({"curation": self.curation} if self.curation else {})


# `curation` and `settings` are columns only where the study has them.
ENCODER_COLUMNS = tuple(f.name for f in fields(EncoderInfo) if f.name not in _WHERE_GIVEN)
Encoders = Mapping[EncoderKey, EncoderInfo]


def encoders_of(plan: Plan) -> dict[EncoderKey, EncoderInfo]:
    """Describe the end and every snapshot of each pre-training."""
    parents = plan.of("pretrain")
    labels = pretrain_labels(parents)
    return {
        (run.id, snapshot): _encoder_info(run, snapshot, labels, plan.facts)
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


def _encoder_info(
    run: Run, snapshot: int | None, labels: Mapping[str, str], facts: StudyFacts
) -> EncoderInfo:
    """Describe an encoder; what a recipe cannot know of released weights, the facts may state."""
    columns = run.columns
    stated = facts.of_weights(columns.get("weights"))
    source = columns.get("source") or stated.source or ""
    return EncoderInfo(
        label=at_snapshot(run, snapshot, labels),
        method=stated.method or columns["method"],
        arch=columns["arch"],
        source=source,
        samples=columns.get("samples", stated.samples),
        samples_seen=columns.get("samples_seen", stated.samples_seen)
        if snapshot is None
        else snapshot,
        snapshot=snapshot,
        curation=facts.curation_of(source),
    )
