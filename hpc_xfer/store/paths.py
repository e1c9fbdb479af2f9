"""Every path in a store: of the store itself, of a run's folder and of a study's folder."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from hpc_xfer.system import atomic_files

# Names for code that looks at 40,000 folders: a Path takes longer to make than a file to find.
RECORD, HITS, ERROR = "record.json", "hits.npy", "error.json"


@dataclass(frozen=True)
class RunDir:
    """The folder of one run."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.json"

    @property
    def claims(self) -> Path:
        """claims/1.json, 2.json, ...: the highest number owns the run (see leases.py)."""
        return self.path / "claims"

    @property
    def found_held(self) -> Path:
        """A file per job that found the run claimed by a living process (see run_claims.py)."""
        return self.path / "found_held"

    @property
    def progress(self) -> Path:
        return self.path / "progress.json"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.pt"

    @property
    def previous_checkpoint(self) -> Path:
        return self.path / "checkpoint.previous.pt"

    @property
    def epochs(self) -> Path:
        """Measurements after each epoch so far, where the best epoch is chosen."""
        return self.path / "epochs.pt"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tb"

    @property
    def initial_weights(self) -> Path:
        """The name, digest and normalization of the weights that a pre-training started from."""
        return self.path / "init.json"

    @property
    def encoder(self) -> Path:
        return self.path / "encoder.pt"

    @property
    def safetensors(self) -> Path:
        """The same weights for plain open_clip and torchvision."""
        return self.path / "encoder.safetensors"

    @property
    def snapshots(self) -> Path:
        return self.path / "snapshots"

    def snapshot(self, samples: int) -> Path:
        """The encoder after this many samples."""
        return self.snapshots / f"{samples}.pt"

    def product(self, snapshot: int | None) -> Path:
        """The weights that a fine-tuning starts from: a snapshot, or the final encoder (None)."""
        return self.encoder if snapshot is None else self.snapshot(snapshot)

    @property
    def hits(self) -> Path:
        return self.path / HITS

    @property
    def error(self) -> Path:
        return self.path / ERROR

    @property
    def record(self) -> Path:
        return self.path / RECORD

    def rendezvous(self, attempt: str) -> Path:
        """The file in which rank 0 of an attempt publishes its address."""
        return self.path / f"rendezvous-{attempt}.json"

    def check_is_no_link(self) -> None:
        """Check where the run is not executed here, but something is written about it.

        Raises:
            StoreError: its folder, or one in it that launches write to, is a link.
        """
        for folder in (self.path, self.claims, self.found_held):
            atomic_files.is_folder(folder)

    def remove_checkpoints(self) -> None:
        """Remove the checkpoints of a run that has its record."""
        for path in (self.checkpoint, self.previous_checkpoint, self.epochs):
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class StudyDir:
    """The folder of one study. All but `imported` can be made again from the runs."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def grid(self) -> Path:
        return self.path / "grid.yaml"

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def launches(self) -> Path:
        return self.path / "launches.jsonl"

    def site_variables(self, user: int) -> Path:
        """Values of the variables in a user's site file, for his jobs (see site_variables.py)."""
        return self.path / f".site_variables.{user}.json"

    @property
    def cancelled(self) -> Path:
        """Exists while the study is cancelled; the next launch removes it."""
        return self.path / "cancelled"

    @property
    def packs(self) -> Path:
        return self.path / "packs"

    def manifest(self, batch_id: str) -> Path:
        """The manifest of a job array: recipes, resources, and the runs of each pack."""
        return self.packs / f"{batch_id}.json"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def doctor(self) -> Path:
        """Results of the checks that `doctor` ran on compute nodes."""
        return self.path / "doctor"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tb"

    @property
    def imported(self) -> Path:
        """Results from elsewhere: one CSV per file that `import` took in."""
        return self.path / "imported"

    @property
    def summary(self) -> Path:
        return self.path / "summary"

    @property
    def record_cache(self) -> Path:
        """Folder in which `collect` keeps what it read of records; it may be deleted."""
        return self.path / "cache"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def public(self) -> "StudyDir":
        """The report for others: tables, figures and page (see reporting/public/)."""
        return StudyDir(self.path / "public")

    def check_is_no_link(self) -> None:
        """Check the folders that `collect`, `import` and `report` write to.

        Raises:
            StoreError: one is a link.
        """
        for folder in (
            self.path, self.summary, self.record_cache, self.figures, self.tensorboard,
            self.imported, self.path / "public",
        ):  # fmt: skip
            atomic_files.is_folder(folder)


@dataclass(frozen=True)
class StoreDir:
    """The folder that all studies share."""

    root: Path
    trusts_members: bool = field(default=False, compare=False)  # see Site.trust_store_members

    @cached_property
    def runs(self) -> Path:
        """Cached: a look at 40,000 runs asks for it as often."""
        return self.root / "runs"

    @property
    def all_studies(self) -> Path:
        return self.root / "studies"

    def run(self, run_id: str) -> RunDir:
        return RunDir(self.runs / run_id)

    def study(self, name: str) -> StudyDir:
        return StudyDir(self.all_studies / name)

    def fingerprint(self, key: str) -> Path:
        """The cached fingerprint of an image folder; `key` stands for its files (downstream/)."""
        return self.root / "fingerprints" / f"{key}.json"

    def cache(self, kind: str) -> Path:
        """Arrays that workers share: images, features, decoded. All may be deleted between runs."""
        return self.root / "cache" / kind

    def decoded(self, fingerprint: str) -> Path:
        """The note that all images of a data set were decoded (see downstream/decode_check.py)."""
        return self.root / "fingerprints" / "decoded" / f"{fingerprint}.json"

    def dataset_fingerprint(self, name: str) -> Path:
        """The fingerprint that a data set had first (see dataset_fingerprints.py)."""
        return self.root / "fingerprints" / "first" / f"{quote(name, safe='')}.json"

    def dataset_words(self, name: str) -> Path:
        """The fingerprint that the class names and prompts of a data set had first."""
        return self.root / "fingerprints" / "first" / f"{quote(name, safe='')}.words.json"

    @property
    def code(self) -> Path:
        """Copies of the package that jobs run (see code_snapshot.py)."""
        return self.root / "code"

    def code_snapshot(self, digest: str) -> Path:
        return self.code / digest

    @property
    def finished(self) -> Path:
        """The runs whose records were read and sound (see finished_runs.py); may be deleted."""
        return self.root / "finished.json"

    @property
    def lock(self) -> Path:
        """The folder of the launch lock (see launch_lock.py)."""
        return self.root / "lock"

    @property
    def told_members(self) -> Path:
        """Exists once a launch has told what it means to trust the members of this store."""
        return self.root / "members.json"

    @property
    def tag(self) -> str:
        """6 hex digits in job names: tell apart stores that hold studies of the same name.

        Links are resolved: two spellings of a path are one store.
        """
        return tag_of_path(self.root.resolve())


def tag_of_path(path: Path) -> str:
    """The tag of a store that lies, or lay, at this path, where no part of it is a link."""
    return hashlib.sha256(str(path).encode()).hexdigest()[:6]
