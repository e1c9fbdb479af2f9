"""GPUs, minutes, workers: where and how fast a study runs, never part of a run's identity."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from hpc_xfer.config.notation.units import read_count
from hpc_xfer.config.schema import Minutes, NonNegativeInt, PositiveInt, StrictModel


def by_shots(value: Any, shots: int | str) -> Any:
    """Return the value for these shots; it is the same for all unless given as {shots: value}."""
    return value[str(shots)] if isinstance(value, Mapping) else value


def not_shots(value: Mapping[str, Any]) -> list[str]:
    """List the keys of {shots: value} that are no number of shots."""
    return [key for key in value if key != "full" and not (key.isdecimal() and int(key) > 0)]


def _none_if_auto(minutes: Any) -> Any:
    return None if minutes == "auto" else minutes


def _size(text: Any) -> str:
    return str(read_count(str(text).replace("_", "")))


class ProbeSettings(StrictModel):
    """k-NN accuracy during a pre-training, on training images of a data set."""

    dataset: str
    images: PositiveInt = 2000  # to compare with; a quarter as many are classified
    times: PositiveInt = 20  # per run, evenly spaced


class PretrainResources(StrictModel):
    gpus: PositiveInt = 1  # processes; each has a GPU where there are GPUs
    # One run, with a margin, or {samples: minutes}; null estimates them from FLOPs.
    minutes: Minutes | dict[str, Minutes] | None = None
    # Data loading processes per GPU; null: its cores less one, at most 8. Changes no number.
    workers: NonNegativeInt | None = None
    threads: PositiveInt = 1  # of torch per process; fixed, since it changes the last bits
    compile: bool = False  # torch.compile: takes minutes at every start, changes the last bits
    activation_checkpointing: bool = False  # a third slower, far less memory; changes no number
    probe: ProbeSettings | None = None  # changes no number
    checkpoint_minutes: Minutes = 10.0
    log_steps: PositiveInt = 20

    @field_validator("minutes", mode="before")
    @classmethod
    def _auto(cls, minutes: Any) -> Any:
        """Read `auto` as None, and sizes such as 2_700_000 and 2.7M as numbers."""
        if isinstance(minutes, Mapping):
            return {_size(size): value for size, value in minutes.items()}
        return _none_if_auto(minutes)

    def minutes_of(self, samples: int) -> float | None:
        """Minutes in the grid for a run on so many samples; None where they are estimated."""
        if self.minutes is None:
            return None
        return float(
            self.minutes[str(samples)] if isinstance(self.minutes, Mapping) else self.minutes
        )


class FinetuneResources(StrictModel):
    compile: ClassVar[bool] = False  # offered for pre-training only
    activation_checkpointing: ClassVar[bool] = False

    gpus: PositiveInt = Field(default=1, le=1)
    per_gpu: PositiveInt = 1  # runs at once on each GPU, by processes of their own; see MPS
    # One run, or {shots: minutes}; null estimates them.
    minutes: Minutes | dict[str, Minutes] | None = None
    target_minutes: Minutes = 30.0  # length of a pack, about
    max_running: PositiveInt | None = None  # packs at once on Slurm, over all arrays of the study
    # Loading processes; null: as for pre-training, 0 where images in memory need none.
    workers: NonNegativeInt | None = None
    threads: PositiveInt = 1
    checkpoint_minutes: Minutes = 10.0
    log_steps: PositiveInt = 20

    @field_validator("minutes", mode="before")
    @classmethod
    def _auto(cls, minutes: Any) -> Any:
        return _none_if_auto(minutes)

    def minutes_of(self, shots: int | str) -> float | None:
        """Minutes in the grid for a run with these shots; None where they are to be estimated."""
        if self.minutes is None:
            return None
        if shots == 0 and isinstance(self.minutes, Mapping):  # zero-shot: no more than the fewest
            return min(self.minutes.values())
        return float(by_shots(self.minutes, shots))


class Resources(StrictModel):
    """The `resources` of a study."""

    pretrain: PretrainResources = PretrainResources()
    finetune: FinetuneResources = FinetuneResources()

    def of(self, kind: Literal["pretrain", "finetune"]) -> PretrainResources | FinetuneResources:
        """The resources of one kind of run."""
        return self.pretrain if kind == "pretrain" else self.finetune


def spread_over_nodes(gpus: int, per_node: int) -> tuple[int, int]:
    """Choose nodes and processes per node: the fewest nodes that share the processes evenly.

    Raises:
        ValueError: an even spread needs more than twice the fewest nodes.
    """
    fewest = -(-gpus // per_node)
    for nodes in range(fewest, 2 * fewest + 1):
        if gpus % nodes == 0:
            return nodes, gpus // nodes
    below, above = fewest * (gpus // fewest), fewest * -(-gpus // fewest)
    raise ValueError(
        f"{gpus} GPUs cannot be spread evenly over nodes of {per_node}; ask for {below} or {above}"
    )
