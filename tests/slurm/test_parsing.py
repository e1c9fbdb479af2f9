"""Read the text of squeue and sacct."""

import pytest

from hpc_xfer.slurm import parsing
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.states.run_states import how_it_ended


def test_squeue_is_read_whatever_others_call_their_jobs() -> None:
    """A line break in a name begins no row: rows begin with what nobody knew before the call."""
    text = (
        "c0de|12|N/A|12|RUNNING|ada|long|n[1-2]|1:00|None|pre.clip.study.c0ffee.1\n"
        "c0de|13|4|13|PENDING|ada|normal||0:00|JobArrayTaskLimit|ft5.clip.study.c0ffee.1\n"
        "c0de|14|N/A|14|PENDING|eve|normal||0:00|Priority|odd|name|RUNNING\n"
        "c0de|15|N/A|15|FAILED|ada|normal|n1|0:01|NonZeroExitCode|pre.x.study.c0ffee.1\n"
        "c0de|18|N/A|18|PENDING|eve|normal||0:00|Priority|forged\n"
        "19|N/A|19|RUNNING|ada|normal|n1|0:00|None|pre.clip.study.c0ffee.2\n"
        "half a line\n"
        "c0de|16|0|17|COMPLETING|bob|normal|n3|0:01|None|ft1.clip.theirs.c0ffee.2\n"
    )
    queue = parsing.read_queue(text, "ada", "c0de|")
    assert (queue.mine, queue.mine_by_qos) == (2, {"long": 1, "normal": 1})
    assert queue.everybodys == 6  # what has ended counts in MaxJobCount too
    assert {job: (line.state, line.live) for job, line in queue.lines.items()} == {
        "12": ("RUNNING", True),
        "13_4": ("PENDING", True),
        "15": ("FAILED", False),
        "16_0": ("COMPLETING", True),
    }


def test_a_job_of_our_name_is_ours_only_if_we_submitted_it() -> None:
    lines = {user: QueueLine(user, user, "pre.a.1", "PENDING", user) for user in ("ada", "eve")}
    assert [line.user for line in Queue(lines).named("pre.a.1", "ada")] == ["ada"]


def test_accounting_is_read_with_the_elements_that_never_began() -> None:
    text = (
        "12|12|ada|CANCELLED by 1000|n1|00:00:05|pre.a\n"
        "13_4|19|ada|OUT_OF_MEMORY|n2|00:01:00|ft5.a\n"
        "13_[3-5%2]|13|ada|CANCELLED by 0|None assigned|00:00:00|ft5.a\n"
        "14_[1,11-15:2]|14|ada|CANCELLED|None assigned|00:00:00|ft5.a\n"
        "15|15|ada|CANCELLED|None assigned|00:00:00|ft5.a\n"
    )
    found = parsing.read_accounting(text)
    assert {job: how_it_ended(line) for job, line in found.items()} == {
        "12": "cancelled",
        "13_3": "cancelled",
        "13_4": "out of memory",
        "13_5": "cancelled",
        "14_1": "dependency",
        "14_11": "dependency",
        "14_13": "dependency",
        "14_15": "dependency",
        "15": "dependency",
    }


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("30:00", 30), ("1:30:00", 90), ("2-00:00:00", 2880), ("0:30", 0.5), ("infinite", None)],
)
def test_times_are_read_as_slurm_writes_them(text: str, minutes: float | None) -> None:
    assert parsing.minutes_of(text) == minutes


def test_what_accounting_knows_does_not_hide_what_the_queue_shows() -> None:
    live = QueueLine("12", "12", "pre.a", "PENDING", "ada")
    old = QueueLine("12", "12", "pre.a", "PREEMPTED", "ada")
    assert Queue({"12": live}).with_more([old]).find("12", "pre.a", "ada") == live


def test_a_number_that_was_given_again_is_another_job() -> None:
    other = QueueLine("12", "12", "sleep", "RUNNING", "ada")
    old = QueueLine("12", "12", "pre.a", "COMPLETED", "ada")
    queue = Queue({"12": other}).with_more([old])
    assert queue.find("12", "pre.a", "ada") == old
    assert queue.find("12", "pre.a", "eve") is None
