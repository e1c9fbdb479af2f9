"""Where and how fast a study runs: GPUs, minutes, workers. Never part of a run's identity."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from hpc_xfer.config.schema import Count, Rate, StrictModel, Whole


def by_shots(value: Any, shots: int | str) -> Any:
    """A value, or the one for these shots where it is given as {shots: value}."""
    return value[str(shots)] if isinstance(value, Mapping) else value


class ProbeSettings(StrictModel):
    """k-NN accuracy as a pre-training goes on, on training images of a data set; a curve."""

    dataset: str
    images: Count = 2000  # to compare with; a quarter as many are asked about
    times: Count = 20  # in a run, evenly


class PretrainResources(StrictModel):
    gpus: Count = 1  # processes; each has a GPU where there are GPUs
    minutes: Rate = 60.0  # one run, with a margin
    workers: Whole = 2  # data loading processes per GPU; changes no number
    threads: Count = 1  # per process, where there is no GPU; fixed, since it changes the last bits
    compile: bool = False  # by torch.compile, minutes of it at every start; changes the last bits
    activation_checkpointing: bool = False  # a third more time, far less memory; changes no number
    probe: ProbeSettings | None = None  # changes no number
    checkpoint_minutes: Rate = 10.0
    log_steps: Count = 20


class FinetuneResources(StrictModel):
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


class Resources(StrictModel):
    """Where and how fast; never part of a run's identity."""

    pretrain: PretrainResources = PretrainResources()
    finetune: FinetuneResources = FinetuneResources()
