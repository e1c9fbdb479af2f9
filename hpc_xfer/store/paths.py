"""Every path in a store, by name: of a run's folder and of a study's."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunDir:
    """What one run leaves."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.json"

    @property
    def claims(self) -> Path:
        """claims/1.json, 2.json, ...: the highest number owns the run (see claims.py)."""
        return self.path / "claims"

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
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tb"

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
        """The encoder as it was after so many samples."""
        return self.snapshots / f"{samples}.pt"

    def product(self, snapshot: int | None) -> Path:
        """What a fine-tuning starts from: a snapshot, or the end (None)."""
        return self.encoder if snapshot is None else self.snapshot(snapshot)

    @property
    def hits(self) -> Path:
        return self.path / "hits.npy"

    @property
    def error(self) -> Path:
        return self.path / "error.json"

    @property
    def record(self) -> Path:
        return self.path / "record.json"

    def rendezvous(self, attempt: str) -> Path:
        """Where rank 0 of an attempt publishes its address."""
        return self.path / f"rendezvous-{attempt}.json"

    def remove_checkpoints(self) -> None:
        """Of a run that has its record."""
        for path in (self.checkpoint, self.previous_checkpoint):
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class StudyDir:
    """What one study leaves; all of it can be made again from the runs."""

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

    @property
    def cancelled(self) -> Path:
        """There while nobody waits for the study: cancelled, and not launched again since."""
        return self.path / "cancelled"

    @property
    def packs(self) -> Path:
        return self.path / "packs"

    def batch(self, batch_id: str) -> Path:
        """What a batch holds: recipes, resources, and the runs of each pack."""
        return self.packs / f"{batch_id}.json"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def doctor(self) -> Path:
        """What `doctor` found on compute nodes."""
        return self.path / "doctor"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tb"

    @property
    def summary(self) -> Path:
        return self.path / "summary"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def report(self) -> Path:
        return self.path / "report.html"
