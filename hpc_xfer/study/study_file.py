"""Read a study: one grid file, typed. Reports all errors at once, one sentence each.

    study = load_study(Path("grids/size_scaling.yaml"))

grid_blocks/ expands its blocks of pre-trainings and of fine-tunings.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from hpc_xfer.config import yaml_document
from hpc_xfer.config.finetune_recipes import Finetune, ZeroShot
from hpc_xfer.config.protocols import PROTOCOLS, Choose, ProtocolName
from hpc_xfer.config.recipes import Pretrain, encoder_points
from hpc_xfer.config.resources import FinetuneResources, Resources
from hpc_xfer.config.schema import ConfigError, StrictModel, validate
from hpc_xfer.config.yaml_document import Document
from hpc_xfer.study.costs.pretrain_minutes import missing_sizes
from hpc_xfer.study.grid_blocks.finetune_axes import wrong_by_shots
from hpc_xfer.study.grid_blocks.finetune_grid import all_trials, trial_blocks
from hpc_xfer.study.grid_blocks.grid_size import too_many
from hpc_xfer.study.grid_blocks.pretrain_grid import PretrainGrid
from hpc_xfer.study.overrides import draft_of, text_with
from hpc_xfer.study.study_facts import StudyFacts, wrong_facts


class _Head(StrictModel):
    """The top level of the file; the two grids are not parsed yet."""

    name: str
    question: str = ""
    pretrain: list[dict[str, Any]] = Field(default=[], min_length=1)
    finetune: Any = []  # blocks; grid_blocks/finetune_axes.py has their keys
    protocol: ProtocolName = "standard"
    choose: Choose | None = None  # None: that of the protocol
    resources: Resources = Resources()
    facts: StudyFacts = Field(default_factory=StudyFacts)

    @field_validator("name")
    @classmethod
    def _safe(cls, name: str) -> str:
        if not names_a_folder(name):
            raise ValueError(
                f"{name!r} cannot name a folder; use letters, digits, _, - and ., at most 64"
            )
        return name


def names_a_folder(name: str) -> bool:
    """True for the names that a study may have: that of a folder on any file system."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name) is not None


@dataclass(frozen=True)
class Study:
    """A grid file, expanded and checked. The plan crosses pre-trainings with trials.

    A study of imported results alone has no pre-trainings and no trials.
    """

    path: Path
    text: str
    name: str
    question: str
    pretrains: tuple[Pretrain, ...]
    blocks: tuple[int, ...]  # the number of each pre-training's block in the file
    trials: tuple[Finetune, ...]
    tuned: tuple[str, ...]
    resources: Resources
    document: Document
    protocol: ProtocolName = "standard"
    choose: Choose = "pooled"  # one tuned value for all draws of a cell, or one per draw
    rehearsal: bool = False  # see rehearsal.py
    stand_ins: bool = False  # of a rehearsal; see stand_in_study.py
    facts: StudyFacts = field(default_factory=StudyFacts)  # of its encoders, for tables and figures
    changes: tuple[str, ...] = ()  # what --set typed; `text` has it under `set`
    starts: tuple[int | None, ...] = ()  # place of the pre-training that each starts from
    trial_blocks: tuple[frozenset[int] | None, ...] = ()  # of each trial's parents; None: all


def load_study(
    path: Path,
    text: str | None = None,
    protocol: ProtocolName = "standard",
    changes: Sequence[str] = (),
) -> Study:
    """Read a grid file.

    Args:
        text: the content at launch, instead of reading it now; paths in it are relative to `path`.
        protocol: that of a grid which names none.
        changes: KEY=VALUE, as --set takes them; see overrides.py.

    Raises:
        StudyError: one line per error, with file, line, key path and the way out.
    """
    written = yaml_document.load_yaml(path, text)
    draft = draft_of(written, protocol, _Head.model_fields, changes)
    doc = draft.document()
    head, errors = validate(_Head, {"protocol": protocol, **doc.data})
    pretrains = PretrainGrid(doc, head.resources.pretrain.gpus if head is not None else 1)
    for i, block in _mappings(doc.data.get("pretrain")):
        pretrains.add_block(i, block)
    pretrains.link()
    protocol = head.protocol if head is not None else protocol
    trials, tuned, wrong, parents = all_trials(doc.data.get("finetune"), protocol)
    of_trials, wrong_parents = trial_blocks(doc.data.get("finetune"), parents, pretrains.names)
    wrong += [] if draft.is_without_blocks else wrong_parents
    errors += draft.errors + draft.without_consequences(pretrains.errors + wrong)
    if "finetune" in doc.data and "pretrain" not in doc.data and not draft.is_without_blocks:
        errors.append((("pretrain",), "is missing; add a line `pretrain: ...`"))
    if head is not None:
        errors += _missing_minutes(head.resources.finetune, trials)
        errors += missing_sizes(head.resources.pretrain, pretrains.recipes)
        if not pretrains.errors and not draft.is_without_blocks:
            errors += wrong_facts(head.facts, pretrains.recipes)
    if pretrains.recipes and not pretrains.errors:  # else it follows from what is wrong there
        errors += _zeroshot_without_text(pretrains, trials, of_trials)
    encoders = sum(len(encoder_points(recipe)) for recipe in pretrains.recipes)
    errors += too_many(len(pretrains.recipes) + encoders * len(trials), ("finetune",))
    if head is None or errors:
        raise doc.refusal(errors)
    return Study(
        path=path,
        text=text_with(written, changes) if changes else doc.text,
        name=head.name,
        question=head.question,
        pretrains=tuple(pretrains.recipes),
        blocks=tuple(pretrains.blocks),
        trials=tuple(trials),
        tuned=tuned,
        resources=head.resources,
        document=doc,
        protocol=protocol,
        choose=head.choose or PROTOCOLS[protocol].choose,
        facts=head.facts,
        changes=tuple(changes),
        starts=tuple(pretrains.parents),
        trial_blocks=of_trials,
    )


def _mappings(blocks: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the blocks that are mappings; `_Head` reports the others."""
    for i, block in enumerate(blocks if isinstance(blocks, list) else []):
        if isinstance(block, dict):
            yield i, block


def _zeroshot_without_text(
    grid: PretrainGrid, trials: Sequence[Finetune], of_trials: Sequence[frozenset[int] | None]
) -> Iterator[ConfigError]:
    with_text = {i for i, recipe in zip(grid.blocks, grid.recipes, strict=True) if recipe.uses_text}
    asked = {
        blocks
        for trial, blocks in zip(trials, of_trials, strict=True)
        if isinstance(trial, ZeroShot)
    }
    if any(not (with_text if blocks is None else with_text & blocks) for blocks in asked):
        where = "here" if None in asked else "among its parents"
        why = f"no pre-training {where} has the text tower that zeroshot needs; remove the mode"
        yield ("finetune",), why


def _missing_minutes(resources: FinetuneResources, trials: list[Finetune]) -> list[ConfigError]:
    if not isinstance(resources.minutes, Mapping):
        return []
    shots = sorted({str(trial.shots) for trial in trials if trial.shots})
    loc = ("resources", "finetune", "minutes")
    return [((*loc, *at), why) for at, why in wrong_by_shots(resources.minutes, shots)]
