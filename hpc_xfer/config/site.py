"""Settings of a cluster or machine: where data lies, which options Slurm needs.

The site file is --site, else $HPC_XFER_SITE, else ~/.config/hpc_xfer/site.yaml, else none. Grids
contain none of this.

Times and memory may have units: `max_minutes: 24h`, `memory_per_gpu: 60GB`.

`${VAR}` is expanded here. What became of it may be a secret: messages and copies for people show
what the file says. Places and options of sbatch are told to Slurm, and so to everybody.
"""

import contextlib
import os
import re
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, model_validator

from hpc_xfer.config import yaml_document
from hpc_xfer.config.dataset_location import DatasetEntry, Location, Place, location_of, with_path
from hpc_xfer.config.released.released_entry import (
    ReleasedEntry,
    WeightsPlace,
    released_entry,
    with_released_path,
)
from hpc_xfer.config.sbatch_options import OneWord, OptionName, RelayOptionName, check_gres
from hpc_xfer.config.schema import (
    Gigabytes,
    Minutes,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StrictModel,
    WholeMinutes,
    tupled,
    validate,
)
from hpc_xfer.config.yaml_document import Document, Loc
from hpc_xfer.errors import StudyError
from hpc_xfer.system import permissions
from hpc_xfer.system.machine import DEVICE
from hpc_xfer.system.written_path import absolute


def _cluster_name(text: str) -> str:
    if text == "all" or not re.fullmatch(r"\w[\w-]*", text):
        raise ValueError(
            f"{text!r} is not the name of one cluster; `sacctmgr show cluster` lists them"
        )
    return text


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line; write one list entry per line")
    return text


def _environment_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", text):
        raise ValueError(
            f"{text!r} cannot name an environment variable; use letters, digits and _, not a digit "
            "first"
        )
    return text


_HIDDEN = "***"
_ASSIGNED = re.compile(r"""(\b[A-Za-z_]\w*\+?=)(?:"[^"]*"|'[^']*'|[^\s;&|])+""")
OneLine = Annotated[str, AfterValidator(_one_line)]
Lines = Annotated[tuple[OneLine, ...], BeforeValidator(tupled)]
OneCluster = Annotated[str, AfterValidator(_cluster_name)]
VariableName = Annotated[str, AfterValidator(_environment_name)]


class RelayPlace(StrictModel):
    """Options of the relay jobs.

    Partition and account that are not given are those of all jobs; so are qos and constraint,
    unless the relay has a partition of its own. `reservation` and `options` of all jobs are not.
    """

    partition: OneWord | None = None
    account: OneWord | None = None
    qos: OneWord | None = None
    constraint: OneWord | None = None
    minutes: WholeMinutes = 30
    cpus: PositiveInt = 1
    memory: Gigabytes | None = 4.0  # GB; null leaves it to Slurm
    options: dict[RelayOptionName, OneWord] = {}  # of sbatch, for the relay alone


class Slurm(StrictModel):
    """Options of jobs. "GPU" means one process; on a CPU cluster it has CPUs only."""

    cluster: OneCluster | None = None  # where one login node serves several
    partition: OneWord | None = None
    account: OneWord | None = None
    qos: OneWord | None = None
    constraint: OneWord | None = None
    reservation: OneWord | None = None
    exclude: Annotated[tuple[OneWord, ...], BeforeValidator(tupled)] = ()  # nodes

    gpus_per_node: PositiveInt = 1  # at most so many processes of a run on a node
    gpu_option: Literal["gpus-per-node", "gres", "gpus-per-task", "none"] = "gpus-per-node"
    gpu_type: OneWord | None = None  # as in gres: a100
    cpus_per_gpu: PositiveInt | None = None  # null: a GPU's share of its node, at most 16; else 1
    memory_per_gpu: Gigabytes | None = None  # GB; null leaves it to Slurm
    max_memory_per_gpu: Gigabytes | None = None  # GB; limit for runs that ran out of memory
    gpu_memory: Gigabytes | None = None  # GB of a GPU; a plan that needs more says so
    teraflops: PositiveFloat | None = None  # effective, per GPU; null: 10, on CPUs 0.02 per core
    memory_option: Literal["mem", "mem-per-cpu"] = "mem"

    max_minutes: WholeMinutes | None = None  # longer runs are stopped, requeued and continued
    max_array: PositiveInt | None = None  # elements per array, if Slurm allows more
    max_jobs: PositiveInt | None = None  # my elements in the queue, if Slurm allows more
    signal_seconds: PositiveInt = 120  # before the time limit; Slurm may be a minute early

    setup: Lines = ()  # lines of the batch script: module load ..., source ...
    environment: dict[VariableName, OneLine] = {}  # NCCL_SOCKET_IFNAME: ib0
    scratch: OneLine | None = None  # node-local; becomes TMPDIR, may name variables of the job
    options: dict[OptionName, OneWord] = {}  # any other option of sbatch: mail-user: me@lab.org

    jobs_may_submit: bool = True  # if not, the relay only collects, and you launch again
    relay: RelayPlace = RelayPlace()
    retries: NonNegativeInt = 3  # of one run without progress, for transient failures
    bad_node_hits: PositiveInt = 2  # failed jobs on a node before the node is excluded
    hang_minutes: Minutes = 10.0  # without a sign of life; then a run is ended and retried

    _written: Mapping[Loc, str] = PrivateAttr(default_factory=dict)  # texts with variables

    def without_values(self) -> "Slurm":
        """The same, with what the site file says instead of values that others must not see."""
        shown: Slurm = _put_back(self, self._written, ())
        lines = tuple(_ASSIGNED.sub(rf"\1{_HIDDEN}", line) for line in shown.setup)
        hidden = dict.fromkeys(self.environment, _HIDDEN)
        return shown.model_copy(update={"setup": lines, "environment": hidden})

    @model_validator(mode="after")
    def _gres_leaves_the_gpus_alone(self) -> "Slurm":
        check_gres(self.options, self.gpu_option)
        return self

    @model_validator(mode="after")
    def _the_device_is_one(self) -> "Slurm":
        device = self.environment.get(DEVICE, "cpu")
        if device not in ("cuda", "cpu"):
            raise ValueError(f"environment: {DEVICE}: {device} names no device; set cuda or cpu")
        return self

    @model_validator(mode="after")
    def _more_memory_is_more(self) -> "Slurm":
        most, first = self.max_memory_per_gpu, self.memory_per_gpu
        if most is not None and (first is None or most < first):
            raise ValueError(
                "max_memory_per_gpu must be at least memory_per_gpu, which must be given too"
            )
        return self

    @model_validator(mode="after")
    def _the_signal_comes_after_the_start(self) -> "Slurm":
        least = (self.signal_seconds + 60) // 60 + 1
        if self.max_minutes is not None and self.max_minutes < least:
            raise ValueError(
                f"max_minutes: {self.max_minutes} is too short: Slurm sends the signal to save "
                f"{self.signal_seconds} s before the end, or up to a minute earlier; set "
                f"max_minutes to {least} or more, or lower signal_seconds"
            )
        return self


class Site(StrictModel):
    """Paths are relative to the site file."""

    store: str | None = None  # unless --store is given
    trust_store_members: bool = False  # a group may write to the store, and so run code as you
    sources: dict[str, str] = {}  # name -> folder of tar shards with an index.json
    datasets: Mapping[str, Place | DatasetEntry] = {}  # name -> place, see dataset_location.py
    released: Mapping[str, WeightsPlace | ReleasedEntry] = {}  # name -> file with weights
    slurm: Slurm = Field(default_factory=Slurm)
    _variables: Mapping[str, str | None] = PrivateAttr(default_factory=dict)

    @property
    def variables(self) -> Mapping[str, str | None]:
        """Values of the variables that the file names; None for one that was not set."""
        return self._variables

    @classmethod
    def of_document(cls, doc: Document) -> "Site":
        """Check a site file.

        Raises:
            StudyError: it has errors.
        """
        site, errors = validate(cls, doc.data)
        if site is None:
            raise doc.refusal((loc, _without_input(loc, sentence)) for loc, sentence in errors)
        site._variables = doc.variables
        written = {loc[1:]: text for loc, text in doc.written.items() if loc[0] == "slurm"}
        site.slurm._written = written
        return site

    def dataset(self, name: str) -> Location | None:
        """Return where a data set lies; None if the site file does not say."""
        entry = self.datasets.get(name)
        return None if entry is None else location_of(name, entry)

    def weights(self, name: str) -> ReleasedEntry | None:
        """Return where released weights lie; None for a tag of open_clip."""
        entry = self.released.get(name)
        return None if entry is None else released_entry(entry)


def find_site_file(given: Path | None) -> Path | None:
    """Find the site file; None if there is none."""
    if given is not None:
        return given
    if named := os.environ.get("HPC_XFER_SITE"):
        return Path(named)
    personal = Path(os.path.expanduser("~/.config/hpc_xfer/site.yaml"))  # Path.home() may raise
    return personal if personal.exists() else None


def load_site(given: Path | None, variables: Mapping[str, str | None] | None = None) -> Site:
    """Read the site file and make its paths absolute; new files get the permissions it wants.

    Args:
        variables: as they were at a launch; others are those of the environment.

    Raises:
        StudyError: the named file is missing or has errors, or many may write to it.
    """
    path = find_site_file(given)
    if path is None:
        permissions.let_members_write(False)
        return Site()
    _check_writers(path)
    known = {**os.environ, **(variables or {})}
    site = Site.of_document(yaml_document.load_yaml(path, value_of=known.get))
    permissions.let_members_write(site.trust_store_members)
    paths: dict[str, Any] = {
        "store": site.store and _absolute(path, site.store),
        "sources": {name: _absolute(path, to) for name, to in site.sources.items()},
        "datasets": {
            name: with_path(entry, partial(_absolute, path))
            for name, entry in site.datasets.items()
        },
        "released": {
            name: with_released_path(entry, partial(_absolute, path))
            for name, entry in site.released.items()
        },
    }
    return site.model_copy(update=paths)


def _check_writers(path: Path) -> None:
    """Refuse a file whose lines anybody but its owner may write, whoever that is."""
    with contextlib.suppress(OSError):  # told by who reads it
        writer = permissions.writer_beside_owner(os.stat(path), path)
        if writer is not None:
            raise StudyError(
                f"{path}: {writer} may write to it, and its `setup` lines run as you; run: chmod "
                f"go-w {shlex.quote(str(path))}, or use a copy of your own"
            )


def _absolute(site_file: Path, to: str) -> str:
    return str(absolute(site_file.parent / os.path.expanduser(to)))


def _put_back(value: Any, written: Mapping[Loc, str], here: Loc) -> Any:
    """Put texts of the file in place of the values that they became."""
    inside = [loc for loc in written if loc[: len(here)] == here]
    if not inside:
        return value
    if here in inside:
        return written[here]
    if isinstance(value, StrictModel):
        names = type(value).model_fields
        more = {name: _put_back(getattr(value, name), written, (*here, name)) for name in names}
        return value.model_copy(update=more)
    if isinstance(value, tuple):
        return tuple(_put_back(each, written, (*here, i)) for i, each in enumerate(value))
    if any(loc[len(here)] not in value for loc in inside):  # sbatch's options have two spellings
        return dict.fromkeys(value, _HIDDEN)
    return {key: _put_back(each, written, (*here, key)) for key, each in value.items()}


def _without_input(loc: Loc, sentence: str) -> str:
    """Leave out the value of a variable for jobs: it may be a secret."""
    return sentence.partition(", got ")[0] if loc[:2] == ("slurm", "environment") else sentence
