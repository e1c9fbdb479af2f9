"""The heartbeat: a run reports its progress, and that it is alive during long work."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpc_xfer.compute.models import weights_file
from hpc_xfer.errors import ClaimLost
from hpc_xfer.store import heartbeat
from hpc_xfer.store.heartbeat import Heartbeat, Liveness
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from tests import tiny

LONG_AGO = 1e9


@dataclass
class Clock:
    """Seconds since the machine was booted, as time.monotonic; each test moves it."""

    now: float = 0.5

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "c0ffee12ab34")


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every touch and beat is written, without a pause."""
    monkeypatch.setattr(heartbeat, "WRITE_SECONDS", 0.0)


def is_fresh(run: RunDir) -> bool:
    """True where the file changed since `make_old`."""
    return run.progress.stat().st_mtime > LONG_AGO


def step_on_disk(run: RunDir) -> int:
    step: int = json.loads(run.progress.read_text())["step"]
    return step


def make_old(run: RunDir) -> None:
    os.utime(run.progress, (LONG_AGO, LONG_AGO))


def test_a_beat_reports_progress_speed_and_waiting(run: RunDir) -> None:
    clock = Clock()
    heart = Heartbeat(run, total=100, batch=32, done_before=40, clock=clock)
    clock.now += 10
    heart.beat(60, 0.5, waited=2.5)
    content = heartbeat.read(run)
    assert content is not None
    assert (content["step"], content["total"], content["loss"]) == (60, 100, 0.5)
    assert content["samples_per_second"] == 20 / 10 * 32
    assert content["eta_seconds"] == 20
    assert content["data_wait"] == 0.25


def test_a_run_without_a_step_has_no_estimated_end(run: RunDir) -> None:
    Heartbeat(run, total=100, batch=32, done_before=40).beat(40)
    content = heartbeat.read(run)
    assert content is not None and content["eta_seconds"] is None


def test_beats_are_written_every_two_seconds_unless_forced(run: RunDir) -> None:
    clock = Clock()
    heart = Heartbeat(run, total=100, batch=32, clock=clock)
    for step in range(1, 50):
        heart.beat(step)
    assert step_on_disk(run) == 1
    heart.beat(50, force=True)
    assert step_on_disk(run) == 50
    clock.now += 10
    heart.beat(51)
    assert step_on_disk(run) == 51


def test_the_first_beat_and_touch_are_written_on_a_machine_that_has_just_booted(
    run: RunDir,
) -> None:
    Liveness(run, clock=Clock(0.0)).touch()
    assert step_on_disk(run) == 0
    Heartbeat(run, total=100, batch=32, clock=Clock(0.0)).beat(1)
    assert step_on_disk(run) == 1


def test_the_checkpoint_time_comes_from_the_checkpoints_alone(run: RunDir) -> None:
    Heartbeat(run, total=100, batch=32).beat(60, force=True)
    assert heartbeat.checkpoint_time(run) == 0
    times = []
    for path in (run.checkpoint, run.previous_checkpoint):  # the older one stays for a moment
        path.write_bytes(b"")
        os.utime(path, ns=(0, 7))
        times.append(heartbeat.checkpoint_time(run))
        run.checkpoint.unlink(missing_ok=True)
    assert times == [7, 7] and heartbeat.checkpoint_time(run) == 7


def test_a_touch_keeps_the_content_of_the_last_beat(run: RunDir) -> None:
    Heartbeat(run, total=100, batch=32).beat(7)
    before = run.progress.read_text()
    make_old(run)
    Liveness(run).touch()
    assert is_fresh(run)
    assert run.progress.read_text() == before


def test_a_touch_before_the_first_beat_reports_step_zero(run: RunDir) -> None:
    Liveness(run).touch()
    content = heartbeat.read(run)
    assert content is not None and content["step"] == 0


def test_a_touch_is_cheap_enough_for_every_batch(run: RunDir) -> None:
    clock = Clock()
    liveness = Liveness(run, clock=clock)
    liveness.touch()
    make_old(run)
    assert list(liveness.with_liveness(range(1000))) == list(range(1000))
    assert not is_fresh(run)
    clock.now += 10
    liveness.touch()
    assert is_fresh(run)


def test_every_item_is_a_sign_of_life(run: RunDir, no_pause: None) -> None:
    Liveness(run).touch()
    for _ in Liveness(run).with_liveness(range(3)):
        assert is_fresh(run)
        make_old(run)


def test_only_rank_zero_writes(tmp_path: Path, no_pause: None) -> None:
    assert list(Liveness(None).with_liveness("ab")) == ["a", "b"]
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_lost_the_run_writes_no_heartbeat(run: RunDir, no_pause: None) -> None:
    """Other hosts would take the new owner for alive, even if it had died."""

    def lost() -> None:
        raise ClaimLost("c0ffee12ab34: another process has taken this over")

    with pytest.raises(ClaimLost):
        Liveness(run, lost).touch()
    with pytest.raises(ClaimLost):
        Heartbeat(run, total=100, batch=32, guard=lost).beat(1)
    assert not run.progress.exists()


class MakeOld(tiny.StopAfter):
    """Never asks to stop; makes the heartbeat look old before every step."""

    def __init__(self, run: RunDir) -> None:
        super().__init__(0)
        self.run, self.signs = run, 0

    @property
    def requested(self) -> bool:
        if self.run.progress.exists():
            self.signs += is_fresh(self.run)
            make_old(self.run)
        return False


def test_each_step_is_a_sign_of_life_even_if_metrics_are_rarely_written(
    tmp_path: Path, no_pause: None
) -> None:
    run = tiny.pretraining("supervised")
    made_old = MakeOld(Store(tmp_path).run(run.id))
    tiny.execute(Store(tmp_path), run, tiny.source(tmp_path / "sans"), made_old, log_steps=1000)
    assert made_old.signs >= 7  # of 8 steps, seen before the next


def test_the_step_on_disk_is_that_of_the_checkpoint(tmp_path: Path) -> None:
    run = tiny.pretraining("supervised")
    shards = tiny.source(tmp_path / "sans")
    tiny.execute(Store(tmp_path), run, shards, tiny.StopAfter(5), log_steps=1000)
    folder = Store(tmp_path).run(run.id)
    state, content = weights_file.read(folder.checkpoint), heartbeat.read(folder)
    assert state is not None and content is not None
    assert state["step"] == content["step"] == 5


@pytest.mark.parametrize("mode", ["ft", "lp"])
def test_batches_that_are_only_evaluated_are_signs_of_life_too(
    mode: str, tmp_path: Path, no_pause: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features before the steps of a fine-tuning; recalibration, validation and test after."""
    parent = tiny.pretraining("scratch", seed=1 if mode == "ft" else 2)  # features are kept
    tiny.finished(Store(tmp_path), parent)
    make = tiny.finetuning if mode == "ft" else tiny.head
    run = make(parent, batch_norm="recalibrate")
    signs: list[RunDir | None] = []
    monkeypatch.setattr(Liveness, "touch", lambda liveness: signs.append(liveness.run))
    metrics = tiny.record(tiny.finished(Store(tmp_path), run))["metrics"]
    evaluated = [-(-metrics[n] // 256) for n in ("train_images", "n_val", "n_test")]  # batches
    assert len(signs) >= metrics["steps"] + sum(evaluated) + (mode == "ft")
    assert set(signs) == {Store(tmp_path).run(run.id)}
