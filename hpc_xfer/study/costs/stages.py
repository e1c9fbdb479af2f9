"""Stages of a study and what they cost: the rows of the table that `cost` shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hpc_xfer.study.cost_estimate import CostKind
from hpc_xfer.study.costs.ranges import NOTHING, Range
from hpc_xfer.study.job_arrays import JobArray

PretrainKind = tuple[str, str, str]  # method, architecture, precision


@dataclass(frozen=True)
class MeasuredRates:
    """What finished pre-trainings tell: samples per second of one GPU, by kind."""

    rates: Mapping[PretrainKind, Range] = field(default_factory=dict)
    runs: Mapping[PretrainKind, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)  # by the name of another GPU


@dataclass(frozen=True)
class FinishedTimes:
    """Speeds and seconds of finished runs, by kind."""

    pretrain: MeasuredRates = field(default_factory=MeasuredRates)
    finetune: Mapping[CostKind, Sequence[float]] = field(default_factory=dict)  # seconds
    left_out: Mapping[str, int] = field(default_factory=dict)  # fine-tunings, by another device


@dataclass
class Stage:
    """Costs of runs of one kind: a method and size of pre-training, or a mode and shots."""

    name: str
    kind: str  # pretrain, finetune, cache or relay
    runs: int = 0  # of a relay: studies
    gpu_hours: Range = NOTHING
    disk: Range = NOTHING  # that stays
    checkpoints: float = 0.0  # bytes of one run while it works, or of those that share a GPU
    files: Range = NOTHING
    gpus: int = 1  # of a run
    measured: int = 0  # runs whose time comes from finished runs
    waits: bool = False  # the GPU would wait for its loading processes
    disk_is_known: bool = True

    @property
    def has_runs(self) -> bool:
        return self.kind in ("pretrain", "finetune")


@dataclass(frozen=True)
class ArrayCost:
    """A job array with the seconds of each element."""

    array: JobArray
    seconds: tuple[Range, ...]  # after the start of its job
    start: Range  # seconds before them
    plan: int  # which of the plans
