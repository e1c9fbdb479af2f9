"""What is handed to Slurm, compared whole; and what its answers are read as."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.config.site import RelayPlace, Slurm, load_site
from hpc_xfer.errors import SlurmError, SubmitLimit
from hpc_xfer.scheduling.run_states import how_it_ended
from hpc_xfer.slurm import parsing
from hpc_xfer.slurm.batch_script import log_path, script_text
from hpc_xfer.slurm.control import cancel_jobs
from hpc_xfer.slurm.limits import submit_limits
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.slurm.queue import current_queue, current_user, ended_jobs
from hpc_xfer.slurm.request import Limits, Request
from hpc_xfer.slurm.sbatch import is_installed, refusal_of, submit_job
from tests.cluster import Cluster
from tests.conftest import ROOT, Command
from tests.waiting import wait_for

CPU = Slurm(gpu_option="none", relay=RelayPlace(memory=None))
TEARDOWN = """
# teardown
code=$?
if [ "$code" -eq 85 ]; then  # interrupted, saved, to be continued
    for attempt in {1..20}; do  # slurmctld may be down for some minutes
        scontrol requeue "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}" && sleep 120 && break  # ended by it
        sleep 15
    done
fi
exit "$code\""""  # noqa: E501


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    monkeypatch.setenv("USER", "ada")
    return load_site(ROOT / f"sbatch/sites/{name}.yaml").slurm


def pretraining(tasks: int) -> Request:
    return Request(
        "pre.clip.study.c0ffee.1", ("python", "a b.py"), Path("/a store/logs"), 65.2, tasks
    )


def test_a_pre_training_on_a_plain_gpu_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    assert script_text(pretraining(6), example("gpu", monkeypatch)) == (
        """#!/bin/bash

# Parameters
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=3
#SBATCH --job-name=pre.clip.study.c0ffee.1
#SBATCH --mem=184320M
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=3
#SBATCH --open-mode=append
#SBATCH --output='/a store/logs/%j_0_log.out'
#SBATCH --partition=gpu
#SBATCH --requeue
#SBATCH --signal=USR2@120
#SBATCH --time=66

# setup
export TMPDIR="/tmp"

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output '/a store/logs/%j_%t_log.out' --cpus-per-task=8 --kill-on-bad-exit=1 """
        """--wait=0 --open-mode=append python 'a b.py'

""" + TEARDOWN
    )


def test_fine_tunings_with_account_gres_and_dependencies(monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request(
        "ft5.clip.study.c0ffee.1", ("true",), Path("/logs"), 35, array=4, at_once=2,
        after_ok=("12",), after_any=("13", "14"), memory_per_gpu=240, exclude=("n9",),
    )  # fmt: skip
    assert script_text(request, example("a100", monkeypatch)) == (
        """#!/bin/bash

# Parameters
#SBATCH --account=vision
#SBATCH --array=0-3%2
#SBATCH --constraint=nvlink
#SBATCH --cpus-per-task=16
#SBATCH --dependency=afterok:12,afterany:13:14
#SBATCH --exclude=a100-07,n9
#SBATCH --gres=gpu:a100:1
#SBATCH --job-name=ft5.clip.study.c0ffee.1
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --mem=245760M
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=/logs/%A_%a_0_log.out
#SBATCH --partition=a100
#SBATCH --qos=normal
#SBATCH --requeue
#SBATCH --signal=USR2@120
#SBATCH --time=35

# setup
module load cuda/12.4
ulimit -n 65536
export NCCL_SOCKET_IFNAME=ib0
export NCCL_IB_HCA=mlx5
export TMPDIR="$SLURM_TMPDIR"

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /logs/%A_%a_%t_log.out --cpus-per-task=16 --kill-on-bad-exit=1 """
        """--wait=0 --open-mode=append true

""" + TEARDOWN
    )


def test_the_relay_on_a_cpu_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request(
        "relay.study.30e858.relay.1", ("true",), Path("/logs"), 30, gpus=False, relay=True,
        after_one=("12", "13"), begin_minutes=10,
    )  # fmt: skip
    lines = script_text(request, example("cpu", monkeypatch)).splitlines()
    assert [line for line in lines if line.startswith("#SBATCH")] == [
        "#SBATCH --begin=now+10minutes",
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --dependency='afterany:12?afterany:13'",
        "#SBATCH --job-name=relay.study.30e858.relay.1",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --open-mode=append",
        "#SBATCH --output=/logs/%j_0_log.out",
        "#SBATCH --requeue",
        "#SBATCH --time=30",
    ]


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("gpus-per-node", "#SBATCH --gpus-per-node=h100:4"),
        ("gres", "#SBATCH --gres=gpu:h100:4"),
        ("gpus-per-task", "#SBATCH --gpus-per-task=h100:1"),
    ],
)
def test_gpus_are_asked_for_in_the_dialect_of_the_site(option: str, line: str) -> None:
    settings = Slurm(gpus_per_node=4, gpu_option=option, gpu_type="h100")  # type: ignore[arg-type]
    assert line in script_text(pretraining(4), settings).splitlines()


def test_memory_per_cpu_and_any_other_option() -> None:
    settings = Slurm(
        gpu_option="none", cpus_per_gpu=4, memory_per_gpu=10, memory_option="mem-per-cpu",
        options={"mail-user": "me@lab.org"}, reservation="class",
    )  # fmt: skip
    lines = script_text(pretraining(1), settings).splitlines()
    assert "#SBATCH --mem-per-cpu=2560M" in lines
    assert "#SBATCH --mail-user=me@lab.org" in lines and "#SBATCH --reservation=class" in lines


@pytest.mark.parametrize(("minutes", "line"), [(0.2, 1), (20, 20), (21, 21), (21.1, 22)])
def test_a_time_limit_is_rounded_up(minutes: float, line: int) -> None:
    request = Request("x", ("true",), Path("/logs"), minutes)
    assert f"#SBATCH --time={line}" in script_text(request, CPU).splitlines()


def test_an_option_of_the_site_replaces_ours_however_it_is_spelled() -> None:
    settings = CPU.model_copy(update={"options": {"cpus-per-task": "4", "signal": "USR2@30"}})
    text = script_text(pretraining(1), settings)
    lines = [line for line in text.splitlines() if "cpus" in line or "signal" in line]
    assert lines[:2] == ["#SBATCH --cpus-per-task=4", "#SBATCH --signal=USR2@30"]
    assert len(lines) == 3 and " --cpus-per-task=4 " in lines[2]  # srun's


def test_a_signal_of_submitits_own_does_not_take_the_place_of_ours() -> None:
    code = (
        "from pathlib import Path; from hpc_xfer.config.site import Slurm;"
        "from hpc_xfer.slurm.batch_script import script_text;"
        "from hpc_xfer.slurm.request import Request;"
        "print(script_text(Request('x', ('true',), Path('/logs'), 1), Slurm()))"
    )
    env = {**os.environ, "SUBMITIT_PREEMPT_SIGNAL": "USR1"}
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "#SBATCH --signal=USR2@120\n" in done.stdout


def test_a_job_name_cannot_begin_a_line_of_the_script() -> None:
    with pytest.raises(SlurmError, match="cannot name a job"):
        script_text(Request("x\n#SBATCH --uid=0", ("true",), Path("/logs"), 1), CPU)


@pytest.mark.parametrize(
    "folder", ["/a%j/logs", "/a\n#SBATCH --uid=0/logs", "/a'b/logs", "/$HOME/x"]
)
def test_a_path_that_slurm_would_read_otherwise_is_refused(folder: str) -> None:
    with pytest.raises(SlurmError, match="choose another --store"):
        submit_job(Request("x", ("true",), Path(folder), 1), CPU)


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
        "12|12|CANCELLED by 1000|n1|00:00:05|pre.a\n"
        "13_4|19|OUT_OF_MEMORY|n2|00:01:00|ft5.a\n"
        "13_[3-5%2]|13|CANCELLED by 0|None assigned|00:00:00|ft5.a\n"
        "14_[1,11-15:2]|14|CANCELLED|None assigned|00:00:00|ft5.a\n"
        "15|15|CANCELLED|None assigned|00:00:00|ft5.a\n"
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


def test_accounting_tells_how_elements_ended_that_never_began(
    tmp_path: Path, make_cluster: Callable[..., Cluster]
) -> None:
    cluster = make_cluster(nodes=1, accounting=True)
    cluster.drain()
    parent = submit_job(Request("pre.x.1", ("false",), tmp_path, 1), CPU)
    child = Request("ft1.x.1", ("true",), tmp_path, 1, array=60, after_ok=(parent,))
    cancelled, left = submit_job(child, CPU), submit_job(replace(child, array=2), CPU)
    cancel_jobs([f"{cancelled}_{index}" for index in range(0, 60, 3)])
    cancel_jobs([cancelled])  # of whose elements 64 characters would tell but some
    cluster.resume()
    some = {f"{cancelled}_{index}" for index in range(60) if index % 3}
    both = {f"{left}_0", f"{left}_1"}
    wait_for(lambda: (some | both) <= ended_jobs([cancelled, left]).keys())
    ended, queue = ended_jobs([cancelled, left]), current_queue().lines
    for lines in (ended, queue):
        assert {how_it_ended(lines[job]) for job in some} == {"cancelled"}
        assert {how_it_ended(lines[job]) for job in both} == {"dependency"}


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("30:00", 30), ("1:30:00", 90), ("2-00:00:00", 2880), ("0:30", 0.5), ("infinite", None)],
)
def test_times_are_read_as_slurm_writes_them(text: str, minutes: float | None) -> None:
    assert parsing.minutes_of(text) == minutes


def test_what_accounting_knows_does_not_hide_what_the_queue_shows() -> None:
    live = QueueLine("12", "12", "pre.a", "PENDING")
    old = QueueLine("12", "12", "pre.a", "PREEMPTED")
    assert Queue({"12": live}).with_ended({"12": old}).lines["12"] == live


def test_the_users_own_sbatch_variables_do_not_reach_a_job(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SBATCH_PARTITION beats the line in the script; SLURM_* are of a job that submits jobs."""
    monkeypatch.setenv("SBATCH_PARTITION", "nowhere")
    monkeypatch.setenv("SLURM_NTASKS", "7")
    logs = tmp_path / "a folder/logs"
    job = submit_job(Request("x", ("env",), logs, 10), CPU)
    log = log_path(logs, job)
    wait_for(lambda: cluster.state(job) == "COMPLETED")
    assert "SLURM_NTASKS=1\n" in log.read_text()
    assert os.environ["SBATCH_PARTITION"] == "nowhere"
    assert sorted(path.name for path in logs.iterdir()) == [
        f"{job}_0_log.out",
        f"{job}_submission.sh",
    ]


def test_what_slurm_does_not_accept_is_told_in_its_words(tmp_path: Path, cluster: Cluster) -> None:
    request = Request("x", ("true",), tmp_path, 1)
    assert refusal_of(request, CPU) is None
    words = refusal_of(request, Slurm(partition="nowhere", gpu_option="none"))
    assert words is not None and "nvalid partition" in words
    with pytest.raises(SlurmError, match=r"Slurm refused a job: .*nvalid partition") as refused:
        submit_job(request, Slurm(partition="nowhere", gpu_option="none"))
    assert not refused.value.unknown
    assert list(tmp_path.glob("*.sh")) == []


@pytest.mark.parametrize(
    ("says", "job"),
    [
        ("echo 'budget of job 12 checked'; echo Submitted batch job 123", "123"),
        ("echo '123;alpha'", "123"),  # --parsable, in a federation
        ("rm $1; echo Submitted batch job 123", "123"),  # submitit then has no file to rename
    ],
)
def test_a_job_that_slurm_took_is_known_by_its_id(
    tmp_path: Path, command: Command, says: str, job: str
) -> None:
    command("sbatch", says)
    assert submit_job(Request("x", ("true",), tmp_path / "logs", 1), CPU) == job


@pytest.mark.parametrize(
    ("does", "unknown"),
    [
        ("echo thanks", True),
        ("exit 124", True),  # of `timeout`
        ("kill -9 $$", True),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", True),
        ("echo 'Invalid account' >&2; exit 1", False),
    ],
)
def test_only_what_sbatch_itself_refused_is_no_job_for_sure(
    tmp_path: Path, command: Command, does: str, unknown: bool
) -> None:
    command("sbatch", does)
    with pytest.raises(SlurmError) as error:
        submit_job(Request("x", ("true",), tmp_path / "logs", 1), CPU)
    assert error.value.unknown == unknown


def test_a_script_that_cannot_be_written_is_no_job(tmp_path: Path, command: Command) -> None:
    command("sbatch", "echo Submitted batch job 123")
    logs = tmp_path / "logs"
    logs.write_text("")
    with pytest.raises(SlurmError, match=r"no job was submitted: .*File exists") as error:
        submit_job(Request("x", ("true",), logs, 1), CPU)
    assert not error.value.unknown


def test_the_script_of_another_launch_is_left_alone(tmp_path: Path, command: Command) -> None:
    other = tmp_path / ".submission_file_of_another.sh"
    command("sbatch", f"touch '{other}'; echo Submitted batch job 123")
    submit_job(Request("x", ("true",), tmp_path, 1), CPU)
    assert other.exists()
    assert [path.name for path in tmp_path.glob(".submission_file_*")] == [other.name]


def calls_of_a_job_that_ends(
    code: int, scontrol: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """What its batch script calls afterwards."""
    log = tmp_path / "calls"
    log.touch()
    command("srun", f"exit {code}")
    command("sleep", f'echo "sleep $1" >> {log}')
    command("scontrol", f'echo "$*" >> {log}; {scontrol.format(log=log)}')
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):  # of a job that these tests are in
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    text = script_text(pretraining(1), CPU)
    done = subprocess.run(["bash", "-c", text], capture_output=True)
    assert done.returncode == code
    return log.read_text().splitlines()


def test_a_job_asks_to_be_requeued_until_slurmctld_is_back(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_at_the_third = "[ $(grep -c requeue {log}) = 3 ]"
    calls = calls_of_a_job_that_ends(85, back_at_the_third, tmp_path, command, monkeypatch)
    again = ["requeue 12", "sleep 15"]
    assert calls == [*again, *again, "requeue 12", "sleep 120"]


def test_a_job_does_not_ask_to_be_requeued_for_ever(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = calls_of_a_job_that_ends(85, "false", tmp_path, command, monkeypatch)
    assert calls == 20 * ["requeue 12", "sleep 15"]


def test_a_job_that_failed_does_not_ask_to_be_requeued(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert calls_of_a_job_that_ends(1, "true", tmp_path, command, monkeypatch) == []


def test_an_element_that_asks_for_it_is_requeued_alone(tmp_path: Path, cluster: Cluster) -> None:
    """The last element's raw id is that of the whole array."""
    once = 'echo start; [ "$SLURM_ARRAY_TASK_ID" = 0 ] || [ -n "$SLURM_RESTART_COUNT" ] || exit 85'
    wait = 'while [ "$SLURM_ARRAY_TASK_ID" = 0 ] && [ ! -e go ]; do sleep 0.1; done'
    command = ("bash", "-c", f"cd {tmp_path}; {once}; {wait}")
    job = submit_job(Request("ft1.x.1", command, tmp_path, 10, array=2), CPU)
    wait_for(lambda: cluster.state(f"{job}_1") == "COMPLETED")
    (tmp_path / "go").touch()
    wait_for(lambda: cluster.state(f"{job}_0") == "COMPLETED")
    starts = [log_path(tmp_path, f"{job}_{i}").read_text().count("start\n") for i in (0, 1)]
    assert starts == [1, 2]


def test_a_child_of_a_parent_that_failed_does_not_wait_for_ever(
    tmp_path: Path, cluster: Cluster
) -> None:
    cluster.drain()
    parent = submit_job(Request("pre.x.1", ("false",), tmp_path, 1), CPU)
    child = submit_job(Request("ft1.x.1", ("true",), tmp_path, 1, after_ok=(parent,)), CPU)
    cluster.resume()
    wait_for(lambda: not current_queue().lines[child].live)
    assert current_queue().lines[child].state == "CANCELLED"


def test_a_users_defaults_hide_no_job_and_spare_none(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a launch would miss what it submitted before, and submit it again."""
    cluster.drain()
    job = submit_job(Request("pre.x.1", ("true",), tmp_path, 1), CPU)
    monkeypatch.setenv("SQUEUE_PARTITION", "urgent")
    monkeypatch.setenv("SCANCEL_STATE", "RUNNING")
    monkeypatch.setenv("USER", "somebody")
    assert current_queue().lines[job].state == "PENDING" and current_queue().mine == 1
    cancel_jobs([job])
    wait_for(lambda: not current_queue().lines[job].live)
    cancel_jobs([job, "99999", "99999_3"])  # over, or never there: no error


def test_a_name_given_by_others_forges_no_job_and_stops_no_launch(cluster: Cluster) -> None:
    cluster.drain()
    row = "999|N/A|999|RUNNING|root|normal|n1|0:00|None|pre.x.study.c0ffee.1"
    cluster.submit("true", "-J", f"evil\n{row}")
    call = [b"sbatch", b"-o", b"/dev/null", b"-J", b"\xff\x0b\xfe|", b"--wrap", b"true"]
    subprocess.run(call, check=True, capture_output=True)
    queue = current_queue()
    assert "999" not in queue.lines and queue.mine == 2


def test_limits_are_slurms_or_the_sites_if_those_are_lower(cluster: Cluster) -> None:
    now = current_queue()
    assert submit_limits(CPU, now) == Limits(1001, 10000 - 100 - now.everybodys)
    few = CPU.model_copy(update={"max_array": 50, "max_jobs": 7})
    assert submit_limits(few, now) == Limits(50, 7 - now.mine)


def test_where_slurm_shows_no_settings_its_defaults_are_assumed(command: Command) -> None:
    command("scontrol", "echo 'slurm_load_ctl_conf error: Access/permission denied' >&2; exit 1")
    command("sacctmgr", "exit 1")
    assert submit_limits(CPU, Queue()) == Limits(1001, None)


def test_an_array_has_no_more_elements_than_slurm_takes(
    tmp_path: Path, make_cluster: Callable[..., Cluster]
) -> None:
    cluster = make_cluster(nodes=1, settings={"SchedulerParameters": "max_array_tasks=3"})
    cluster.drain()
    most = submit_limits(CPU, current_queue()).array
    assert most == 3
    submit_job(Request("x", ("true",), tmp_path, 1, array=most), CPU)
    with pytest.raises(SlurmError, match="Invalid job array specification"):
        submit_job(Request("x", ("true",), tmp_path, 1, array=most + 1), CPU)


def test_a_full_queue_is_told_apart_from_a_refusal(
    tmp_path: Path, make_cluster: Callable[..., Cluster]
) -> None:
    settings = {"AccountingStorageEnforce": "limits,qos"}
    cluster = make_cluster(nodes=1, accounting=True, settings=settings)
    cluster.limit_submits(2)
    cluster.drain()
    request = Request("x", ("true",), tmp_path, 1, array=2)
    job = submit_job(request, CPU)
    assert submit_limits(CPU, current_queue()).room == 0
    with pytest.raises(SubmitLimit, match="takes no more jobs now"):
        submit_job(request, CPU)
    cancel_jobs([job])
    wait_for(lambda: not cluster.live())
    alone = submit_job(Request("x", ("true",), tmp_path, 1), CPU)
    cancel_jobs([alone])
    wait_for(lambda: alone in ended_jobs([job, alone]))
    assert ended_jobs([alone])[alone].state == "CANCELLED"


def test_a_limit_that_does_not_pass_is_a_refusal(
    tmp_path: Path, make_cluster: Callable[..., Cluster]
) -> None:
    """Waiting for room would not help; and a QOS counts none but its own jobs."""
    cluster = make_cluster(nodes=1, accounting=True)
    change = ("sacctmgr", "-i")
    limits = ("MaxWall=1", "MaxSubmitJobsPerUser=2", "Flags=DenyOnLimit")
    cluster.run(*change, "add", "qos", "tight", "set", *limits)
    cluster.run(*change, "modify", "user", "where", f"name={current_user()}", "set", "qos+=tight")
    tight = CPU.model_copy(update={"qos": "tight"})
    short, long = (Request("x", ("true",), tmp_path, minutes) for minutes in (1, 10))
    wait_for(lambda: refusal_of(short, tight) is None)
    cluster.drain()
    submit_job(replace(short, array=3), CPU)  # normal
    assert submit_limits(tight, current_queue()).room == 2
    with pytest.raises(SlurmError, match="refused a job: QOSMaxWall") as refused:
        submit_job(long, tight)
    assert not isinstance(refused.value, SubmitLimit)
    submit_job(replace(short, array=2), tight)
    assert submit_limits(tight, current_queue()).room == 0
    with pytest.raises(SubmitLimit):
        submit_job(short, tight)


def test_a_limit_of_the_association_is_kept(
    tmp_path: Path, make_cluster: Callable[..., Cluster]
) -> None:
    cluster = make_cluster(nodes=1, accounting=True)
    who = ("where", f"name={current_user()}")
    cluster.run("sacctmgr", "-i", "modify", "user", *who, "set", "MaxSubmitJobs=3")
    cluster.drain()
    assert submit_limits(CPU, current_queue()).room == 3
    request = Request("x", ("true",), tmp_path, 1, array=2)
    submit_job(request, CPU)
    assert submit_limits(CPU, current_queue()).room == 1
    with pytest.raises(SubmitLimit):
        submit_job(request, CPU)


def test_a_limit_on_another_cluster_of_the_same_accounting_is_none_here(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(nodes=1, accounting=True)
    change = ("sacctmgr", "-i")
    cluster.run(*change, "add", "cluster", "elsewhere")
    if current_user() != "root":  # who is there from the start
        who = (current_user(), "account=root", "cluster=elsewhere")
        cluster.run(*change, "add", "user", *who)
    where = ("where", f"name={current_user()}", "cluster=elsewhere")
    cluster.run(*change, "modify", "user", *where, "set", "MaxSubmitJobs=1")
    cluster.limit_submits(3)
    assert submit_limits(CPU, current_queue()).room == 3


def test_room_is_what_slurm_takes_where_jobs_that_ended_count(
    tmp_path: Path, make_cluster: Callable[..., Cluster]
) -> None:
    cluster = make_cluster(nodes=1, settings={"MaxJobCount": "20"})
    ended = [cluster.submit("true") for _ in range(3)]
    wait_for(lambda: {cluster.state(job) for job in ended} == {"COMPLETED"})
    cluster.drain()
    room = submit_limits(CPU, current_queue()).room
    assert room == 20 - 2 - 3
    submit_job(Request("x", ("true",), tmp_path, 1, array=room), CPU)
    assert submit_limits(CPU, current_queue()).room == 0


def test_without_slurm_it_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not is_installed()
    with pytest.raises(SlurmError, match="squeue is not on PATH: this is no login node"):
        current_queue()
