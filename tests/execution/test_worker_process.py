"""A worker process, played by a few lines of Python: its events, its end, and how it is stopped."""

import queue
import subprocess
import sys

import pytest

from hpc_xfer.execution.worker_process import (
    WorkerProcess,
    say,
    start_process,
    worker_environment,
)
from hpc_xfer.system.worker_events import WorkerEvent
from tests.waiting import wait_for

DONE = '{"event": "done", "run": "c0ffee"}'
FAILED = '{"event": "failed", "run": "c0ffee", "class": "data", "message": "no such shard"}'


def worker(*programs: str) -> WorkerProcess:
    """A worker with a rank per program."""
    environment = worker_environment()
    return WorkerProcess(
        [
            start_process([sys.executable, "-uc", program], environment, stdin=subprocess.PIPE)
            for program in programs
        ]
    )


def events_of(worker: WorkerProcess) -> list[WorkerEvent]:
    """All events until its end."""
    events: queue.Queue[WorkerEvent | None] = queue.Queue()
    worker.listen(events.put)
    return list(iter(events.get, None))


@pytest.mark.parametrize("device", [None, "cpu", "cuda"])
def test_a_worker_starts_with_one_thread_whatever_its_device(
    device: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch's default is one for each core, also for each of four workers that share a GPU."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    program = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['MKL_NUM_THREADS'])"
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command, env=worker_environment(device)) == b"1 1\n"


def test_what_is_no_event_goes_to_the_log_alone() -> None:
    events: queue.Queue[WorkerEvent | None] = queue.Queue()
    lines: list[str] = []
    one = worker(f"print('hello'); print('[1]'); print('{DONE}')")
    one.listen(events.put, lines.append)
    assert list(iter(events.get, None)) == [WorkerEvent("done", "c0ffee")]
    assert one.end(grace=60) == [0]
    assert lines == ["hello", "[1]", DONE]


def test_a_kept_worker_takes_packs_until_its_input_is_closed() -> None:
    line = """'{"event": "pack", "pack": "%s"}' % name.strip()"""
    one = worker(f"import sys; [print({line}) for name in sys.stdin]")
    one.send_pack("ba7c4/0")
    one.send_pack("ba7c4/1")
    one.close()
    assert [event.pack for event in events_of(one)] == ["ba7c4/0", "ba7c4/1"]
    assert one.end(grace=60) == [0]


def test_the_end_of_a_worker_is_seen_though_a_child_of_it_lives_on() -> None:
    child = "import subprocess; print(subprocess.Popen(['sleep', '30']).pid); raise SystemExit(3)"
    one = worker(child)
    assert events_of(one) == []
    assert one.end(grace=60) == [3]


def test_the_other_ranks_are_ended_with_the_leader_and_what_they_said_is_kept() -> None:
    fails_later = "import sys; sys.stdin.read(); sys.exit(1)"
    group = worker(fails_later, f"import time; print('{FAILED}'); time.sleep(60)")
    group.listen(lambda event: None)
    wait_for(lambda: group.failures)
    assert group.end(grace=60) == [1, -15]
    assert group.failures == [WorkerEvent.parse(FAILED)]


def test_a_worker_that_takes_too_long_to_end_is_killed() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    one = worker(deaf)
    one.listen(lambda event: None)
    assert one.end(grace=0.1) == [-9]


def test_a_worker_that_cannot_say_where_it_hangs_is_killed_all_the_same() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGABRT, signal.SIG_IGN)"
    one = worker(f"{deaf}; print('{DONE}'); time.sleep(60)")
    events: queue.Queue[WorkerEvent | None] = queue.Queue()
    one.listen(events.put)
    assert events.get() == WorkerEvent("done", "c0ffee")

    def ended_by_abort() -> bool:
        one.abort()
        return one.leader.returncode is not None

    wait_for(ended_by_abort)
    assert one.hung and one.end(grace=60) == [-9]


def test_a_log_on_a_full_disk_changes_no_exit_code() -> None:
    code = f"from {say.__module__} import say; say('lost'); raise SystemExit(85)"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full)
    assert done.returncode == 85
