"""A study: one grid file, typed. Every mistake in it is one sentence, all of them at once.

    study = load(Path("grids/size_scaling.yaml"))

pretrain_grid.py and finetune_grid.py expand its blocks.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from hpc_xfer import document
from hpc_xfer.document import Document
from hpc_xfer.finetune_grid import all_trials, by_shots
from hpc_xfer.nouns import Count, Mistake, Noun, Rate, Whole, validate
from hpc_xfer.pretrain_grid import PretrainGrid, too_many
from hpc_xfer.recipes import Finetune, Pretrain, points


class Probe(Noun):
    """k-NN accuracy as a pre-training goes on, on training images of a data set; a curve."""

    dataset: str
    images: Count = 2000  # to compare with; a quarter as many are asked about
    times: Count = 20  # in a run, evenly


class PretrainResources(Noun):
    gpus: Count = 1  # processes; each has a GPU where there are GPUs
    minutes: Rate = 60.0  # one run, with a margin
    workers: Whole = 2  # data loading processes per GPU; changes no number
    threads: Count = 1  # per process, where there is no GPU; fixed, since it changes the last bits
    compile: bool = False  # by torch.compile, minutes of it at every start; changes the last bits
    activation_checkpointing: bool = False  # a third more time, far less memory; changes no number
    probe: Probe | None = None  # changes no number
    checkpoint_minutes: Rate = 10.0
    log_steps: Count = 20


class FinetuneResources(Noun):
    gpus: Count = Field(default=1, le=1)
    minutes: Rate | dict[str, Rate] = 20.0  # one run, with a margin; or {shots: minutes}
    target_minutes: Rate = 30.0  # packs are cut to last about this long
    max_running: Count | None = None  # packs at once on Slurm, over all arrays of the study
    workers: Whole | None = None  # data loading processes; null: 2 for image files, else none
    threads: Count = 1
    checkpoint_minutes: Rate = 10.0
    log_steps: Count = 20

    def minutes_of(self, shots: int | str) -> float:
        return float(by_shots(self.minutes, shots))


class Resources(Noun):
    """Where and how fast; never part of a run's identity."""

    pretrain: PretrainResources = PretrainResources()
    finetune: FinetuneResources = FinetuneResources()


class _Head(Noun):
    """The top level, with the two grids still raw."""

    name: str
    question: str = ""
    pretrain: list[dict[str, Any]] = Field(min_length=1)
    finetune: Any = []  # a block or a list of blocks; see _Axes and Finetune for their keys
    resources: Resources = Resources()

    @field_validator("name")
    @classmethod
    def _safe(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
            raise ValueError(
                f"{name!r} cannot name a folder; use letters, digits, _, - and ., at most 64"
            )
        return name


@dataclass(frozen=True)
class Study:
    """Expanded, checked; the plan crosses every pre-training (and snapshot) with every trial."""

    path: Path
    text: str
    name: str
    question: str
    pretrains: tuple[Pretrain, ...]
    blocks: tuple[int, ...]  # of the file, from which each pre-training comes
    trials: tuple[Finetune, ...]
    tuned: tuple[str, ...]
    resources: Resources
    document: Document
    rehearsal: bool = False  # see rehearsal.py


def load(path: Path, text: str | None = None) -> Study:
    """Read a grid file.

    Args:
        text: what it said when it was launched; `path` then says what paths in it are relative to.

    Raises:
        StudyError: one line per mistake, with file, line, key path and the way out.
    """
    doc = document.load(path, text)
    head, mistakes = validate(_Head, doc.data)
    pretrains = PretrainGrid(doc)
    for i, block in _mappings(doc.data.get("pretrain")):
        pretrains.add_block(i, block)
    trials, tuned, wrong = all_trials(doc.data.get("finetune"))
    mistakes += pretrains.mistakes + wrong
    if head is not None:
        mistakes += _missing_minutes(head.resources.finetune, trials)
    encoders = sum(len(points(recipe)) for recipe in pretrains.recipes)
    mistakes += too_many(len(pretrains.recipes) + encoders * len(trials), ("finetune",))
    if head is None or mistakes:
        raise doc.refusal(mistakes)
    return Study(
        path=path,
        text=doc.text,
        name=head.name,
        question=head.question,
        pretrains=tuple(pretrains.recipes),
        blocks=tuple(pretrains.blocks),
        trials=tuple(trials),
        tuned=tuned,
        resources=head.resources,
        document=doc,
    )


def _mappings(blocks: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """The blocks that can be read; what is none of them is the head's mistake to tell."""
    for i, block in enumerate(blocks if isinstance(blocks, list) else []):
        if isinstance(block, dict):
            yield i, block


def _missing_minutes(resources: FinetuneResources, trials: list[Finetune]) -> list[Mistake]:
    if not isinstance(resources.minutes, Mapping):
        return []
    missing = {str(trial.shots) for trial in trials} - set(resources.minutes)
    loc = ("resources", "finetune", "minutes")
    return [(loc, f"has no value for {s} shots; add `{s}: ...`") for s in sorted(missing)]
