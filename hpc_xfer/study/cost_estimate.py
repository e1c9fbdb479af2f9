"""Estimate how long a fine-tuning takes: a pure function of its recipe, its parent and its data.

    costs = RunCosts(images, Speed(10e12, cores=8))
    costs.seconds(run)               # with a margin, without what the runs of a pack share
    costs.pack_seconds(runs)

Seconds of finished runs of the same kind take the place of the estimate. See
store/finished_costs.py, which reads them.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hpc_xfer.config.downstream_datasets import PACKAGED, DatasetInfo, held_out_count
from hpc_xfer.config.finetune_recipes import (
    FEW,
    KNN,
    AdamWFinetune,
    Finetune,
    FullFinetune,
    LinearProbe,
    ProbeThenFinetune,
    RidgeProbe,
    ZeroShot,
)
from hpc_xfer.config.recipes import Pretrain, Trained, arch_name
from hpc_xfer.config.resources import PretrainResources, Resources
from hpc_xfer.config.site import Slurm
from hpc_xfer.study.architecture_costs import TowerCosts, tower_costs
from hpc_xfer.study.costs.host_pace import CORE_SOLVER_FLOPS, PRETRAIN_START, USUAL, HostPace
from hpc_xfer.study.costs.pretrain_time import pretrain_seconds
from hpc_xfer.study.costs.training_speed import TrainingSpeed
from hpc_xfer.system import machine
from hpc_xfer.system.limits.process_share import kept_bytes, loading_processes

CostKind = tuple[str, str, str, str, str]  # architecture, data set, shots, mode, solver

GPU_TERAFLOPS = 10.0  # effective: small batches in fp32 use a fraction of what the card can do
_CORE_TERAFLOPS = 0.02
_MARGIN = 2.0  # on an estimate: a pack that is stopped costs another start and the time in between
_MARGIN_OF_MEASURED = 1.5
_START_SECONDS = 10.0  # of a worker: imports, encoder, data set
_SOLVER_SHARE = 0.25  # of `flops` in float64, where no card tells; consumer cards have a 64th
_SMALL_PROBE = 1 << 24  # products of images, features and classes that are solved on a core


@dataclass(frozen=True)
class ImageCounts:
    """Counts of a data set that decide how long its runs take."""

    train: int
    test: int  # with further test sets
    classes: int
    templates: int = 1
    in_files: bool = True  # that must be decoded
    val: int = 0  # the owners' validation set, which is not in `train`


ASSUMED = ImageCounts(10_000, 5_000, 100)  # for a data set that nobody has counted


def counts_of(info: DatasetInfo) -> ImageCounts:
    """Take the counts out of the info of a data set."""
    in_files = info.name not in PACKAGED
    return ImageCounts(
        info.train, info.test + info.further_test, len(info.classes), len(info.templates), in_files,
        info.official_val,
    )  # fmt: skip


@dataclass(frozen=True)
class Speed:
    """Speed and cores that a process has to itself."""

    flops: float  # effective, per second
    cores: int = 1
    has_gpu: bool = True
    loaders: int = 1  # processes that decode for training
    kept_bytes: int = kept_bytes(None)  # evaluation images below this are decoded once per pack
    solver_flops: float | None = None  # in float64, of probes; None: a part of `flops`

    @property
    def solver(self) -> float:
        """FLOP/s of probes that are large enough for the device."""
        return self.solver_flops or _SOLVER_SHARE * self.flops


def computes_on_gpus(slurm: Slurm) -> bool:
    """Tell if jobs use the GPUs that they may ask for; the environment may keep them on the CPU."""
    return slurm.gpu_option != "none" and slurm.environment.get(machine.DEVICE) != "cpu"


def speed_on_slurm(slurm: Slurm, resources: Resources) -> Speed:
    """The speed of a process on the cluster: `teraflops` of the site, else an assumption."""
    has_gpu = computes_on_gpus(slurm)
    assumed = GPU_TERAFLOPS if has_gpu else _CORE_TERAFLOPS * resources.finetune.threads
    memory = None if slurm.memory_per_gpu is None else 1e9 * slurm.memory_per_gpu
    flops = 1e12 * (slurm.teraflops or assumed)
    return _speed(flops, slurm.cpus_per_gpu or 1, has_gpu, memory, resources)


def speed_here(gpus: int, cores: int, memory: float | None, resources: Resources) -> Speed:
    """The assumed speed of a process on this machine, where every GPU or core has one.

    Args:
        memory: bytes of the machine; None where nothing tells them.
    """
    places = gpus or max(1, cores // resources.finetune.threads)
    share = None if memory is None else memory / places
    if gpus:
        return _speed(1e12 * GPU_TERAFLOPS, max(1, cores // gpus), True, share, resources)
    flops = 1e12 * _CORE_TERAFLOPS * resources.finetune.threads
    return _speed(flops, 1, False, share, resources)


def _speed(
    flops: float, cores: int, has_gpu: bool, memory: float | None, resources: Resources
) -> Speed:
    """The speed with the loading processes and the memory that a process gives to images."""
    finetune = resources.finetune
    beside = finetune.per_gpu if has_gpu else 1
    loaders = finetune.workers
    if loaders is None:
        loaders = loading_processes(max(1, cores // beside), has_gpu, finetune.threads)
    kept = kept_bytes(None if memory is None else memory / beside)
    return Speed(flops, cores, has_gpu, loaders, kept)


_Known = dict[tuple[int, str | int], tuple[float, Finetune, Pretrain]]


@dataclass(frozen=True)
class RunCosts:
    """Estimates for the fine-tunings of a study."""

    images: Mapping[str, ImageCounts]  # data set -> counts
    speed: Speed
    measured: Mapping[CostKind, float] = field(default_factory=dict)  # median seconds
    measured_runs: int = 0
    training: TrainingSpeed | None = None  # of pre-trainings; None: an earlier version's plan
    pace: HostPace = USUAL
    _own: _Known = field(init=False, default_factory=dict, compare=False, repr=False)
    _shared: _Known = field(init=False, default_factory=dict, compare=False, repr=False)

    def seconds(self, recipe: Finetune, parent: Pretrain) -> float:
        """Seconds of one run, with a margin; what its pack shares is not included."""
        return self._once(self._own, recipe, parent, self._own_seconds)

    def shared_seconds(self, recipe: Finetune, parent: Pretrain) -> float:
        """Seconds for what the runs of a pack share, with a margin: start, images, features."""
        return self._once(self._shared, recipe, parent, self._shared_seconds)

    @staticmethod
    def _once(
        known: _Known, recipe: Finetune, parent: Pretrain,
        compute: Callable[[Finetune, Pretrain], float],
    ) -> float:  # fmt: skip
        """Compute once for a trial and an architecture: 40,000 runs have some hundreds of each."""
        arch = parent.arch if isinstance(parent.arch, str) else id(parent.arch)
        found = known.get((id(recipe), arch))
        if found is None:
            # The objects are kept, so that none after them has the same id.
            found = known[(id(recipe), arch)] = (compute(recipe, parent), recipe, parent)
        return found[0]

    def _own_seconds(self, recipe: Finetune, parent: Pretrain) -> float:
        measured = self.measured.get(cost_kind(recipe, parent))
        if measured is not None:
            return self.pace.run + _MARGIN_OF_MEASURED * measured
        return self.pace.run + _MARGIN * self._work(recipe, parent).own_seconds()

    def _shared_seconds(self, recipe: Finetune, parent: Pretrain) -> float:
        return _START_SECONDS + _MARGIN * self._work(recipe, parent).shared_seconds()

    def bare_seconds(self, recipe: Finetune, parent: Pretrain) -> float:
        """Seconds of one run without a margin, by the estimate alone."""
        return self.pace.run + self._work(recipe, parent).own_seconds()

    def bare_shared_seconds(self, recipe: Finetune, parent: Pretrain) -> float:
        """Seconds for images and features that a pack shares, without a margin and the start."""
        return self._work(recipe, parent).shared_seconds()

    def pretrain_minutes(self, recipe: Trained, resources: PretrainResources) -> float | None:
        """Minutes for a pre-training: the high end of its estimate; None without a speed."""
        if self.training is None:
            return None
        loaders = self.pretrain_loaders(resources)
        recomputes = resources.activation_checkpointing
        seconds = pretrain_seconds(recipe, resources.gpus, self.training, loaders, recomputes)
        return float(math.ceil((seconds + PRETRAIN_START).high / 60))

    def pretrain_loaders(self, resources: PretrainResources) -> int:
        """Loading processes of a rank: as in the grid, else as its cores allow."""
        if resources.workers is not None:
            return resources.workers
        return loading_processes(self.speed.cores, self.speed.has_gpu, resources.threads)

    def uncounted(self, datasets: Iterable[str]) -> list[str]:
        """List the data sets whose size is assumed."""
        return [name for name in dict.fromkeys(datasets) if name not in self.images]

    def as_json(self) -> dict[str, Any]:
        """The content that `from_json` reads; measured seconds are read from records instead."""
        images = {name: asdict(counts) for name, counts in self.images.items()}
        training = {} if self.training is None else {"training": self.training.as_json()}
        return {"images": images, "speed": asdict(self.speed), **training}

    @staticmethod
    def from_json(content: Any) -> "RunCosts | None":
        """Read what `as_json` made; None where an earlier version wrote nothing of this kind."""
        try:
            images = {name: ImageCounts(**counts) for name, counts in content["images"].items()}
            training = TrainingSpeed.from_json(content.get("training"))
            return RunCosts(images, Speed(**content["speed"]), training=training)
        except (AttributeError, KeyError, TypeError):
            return None

    def _work(self, recipe: Finetune, parent: Pretrain) -> "_Work":
        counts = self.images.get(recipe.dataset, ASSUMED)
        return _Work(recipe, tower_costs(parent.arch), counts, self.speed, self.pace)


def cost_kind(recipe: Finetune, parent: Pretrain) -> CostKind:
    """The kind of a run: runs of one kind take about as long."""
    solver = str(getattr(recipe, "solver", ""))
    return arch_name(parent.arch), recipe.dataset, str(recipe.shots), recipe.mode, solver


@dataclass(frozen=True)
class _Work:
    """The work of one run."""

    recipe: Finetune
    tower: TowerCosts
    counts: ImageCounts
    speed: Speed
    pace: HostPace

    @property
    def train(self) -> int:
        """Images that a run is trained on; at `full` all that validation does not hold out."""
        counts = self.counts
        if self.recipe.shots == "full":
            return counts.train - (0 if counts.val else self.validation)
        return min(counts.train, self.recipe.shots * counts.classes)

    @property
    def validation(self) -> int:
        """Images that choices rest on; compute/downstream/splits.py chooses them."""
        recipe, counts = self.recipe, self.counts
        if recipe.validation in ("none", "loo"):
            return 0
        if recipe.shots == "full" and counts.val and recipe.val_seed is None:
            return counts.val
        if recipe.shots == "full" and getattr(recipe, "select", "") == "test":
            return 0  # the paper trains on everything
        if recipe.shots == "full" or recipe.validation == "fraction":
            return held_out_count(counts.train, recipe.val_fraction)
        return min(counts.train, min(recipe.shots, FEW) * counts.classes)

    @property
    def measured(self) -> int:
        """Images that a run is measured on: validation and test."""
        return self.counts.test + self.validation

    @property
    def forward(self) -> float:
        """Seconds to compute the features of an image."""
        return self.tower.flops / self.speed.flops

    def decode(self, processes: int) -> float:
        """Seconds to decode an image."""
        return self.pace.decode / max(1, processes) if self.counts.in_files else 0.0

    @property
    def is_kept(self) -> bool:
        """Tell whether decoded evaluation images stay in memory."""
        return self.measured * 3 * self.tower.side**2 <= self.speed.kept_bytes

    def shared_seconds(self) -> float:
        recipe, counts = self.recipe, self.counts
        image = self.forward + self.decode(self.speed.cores)
        if isinstance(recipe, ZeroShot):
            texts = counts.classes * counts.templates * self.tower.text_flops / self.speed.flops
            return counts.test * image + texts
        if isinstance(recipe, FullFinetune) and recipe.shots != "full":
            return self.measured * self.decode(self.speed.cores) * self.is_kept
        return (counts.train + counts.test) * image

    def own_seconds(self) -> float:
        recipe = self.recipe
        if isinstance(recipe, AdamWFinetune):
            probe = self._path_seconds(1) if isinstance(recipe, ProbeThenFinetune) else 0.0
            return probe + self._training_seconds(recipe)
        if isinstance(recipe, LinearProbe):
            return self._path_seconds(len(recipe.path_values))
        if isinstance(recipe, KNN):
            return 2 * self.train * self.measured * self.tower.features / self.speed.flops
        return 2 * self.measured * self._head / self.speed.flops

    @property
    def _head(self) -> int:
        """Weights of a linear head."""
        return self.tower.features * self.counts.classes

    def _path_seconds(self, values: int) -> float:
        """Seconds of a converged probe with all values on its path, in float64.

        With all data it is fitted twice, the second time on the validation images too.
        """
        n, d = self.train, self.tower.features
        again = n + self.validation if self.recipe.shots == "full" and self.validation else 0
        is_small = n * d * self.counts.classes < _SMALL_PROBE
        flops = CORE_SOLVER_FLOPS if is_small else self.speed.solver
        scores = values * 2 * self.measured * self._head / flops
        if isinstance(self.recipe, RidgeProbe):
            fits = 2 if again else 1
            solving = fits * (10 * d**3 + values * 2 * d * self._head)
            return (2 * (n + again) * d**2 + solving) / flops + scores
        # Few images span few axes, and there the problem is solved.
        products = sum(4 * m * min(m, d) * self.counts.classes for m in (n, again))
        steps = (2 if again else 1) * self.pace.head_step
        return values * self.pace.iterations * (products / flops + steps) + scores

    def _training_seconds(self, recipe: AdamWFinetune) -> float:
        steps = max(recipe.epochs * -(-self.train // recipe.batch), recipe.min_steps or 0)
        steps = min(steps, recipe.max_steps or steps)
        batch = min(recipe.batch, self.train)
        if not isinstance(recipe, FullFinetune):
            step = 6 * batch * self._head / self.speed.flops + self.pace.head_step
            return steps * step + 2 * self.measured * self._head / self.speed.flops
        loading = self.decode(self.speed.loaders)
        loading += bool(recipe.randaugment) * self.pace.augment / max(1, self.speed.loaders)
        image = self.pace.beside(3 * self.forward, loading)
        step = max(self.pace.step, batch * image)
        again = 0.0 if self.is_kept else self.decode(self.speed.cores)
        times = min(recipe.epochs, steps) if recipe.select == "test" else 1
        measuring = times * self.measured * (self.forward + again)
        return steps * step + measuring + self.train * self.forward
