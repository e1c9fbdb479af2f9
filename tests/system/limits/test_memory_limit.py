"""The memory that a process may use, from control groups, Slurm and the machine."""

from pathlib import Path

import pytest

from hpc_xfer.system.limits.memory_limit import memory_limit

GB = 1 << 30


@pytest.fixture(autouse=True)
def _outside_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)


def machine(root: Path, files: dict[str, str]) -> Path:
    """A root with these files, and 100 GiB of memory of which 64 are free."""
    meminfo = {"proc/meminfo": f"MemTotal: {100 << 20} kB\nMemAvailable: {64 << 20} kB\n"}
    for name, text in {**meminfo, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_limits_it_is_what_is_free(tmp_path: Path) -> None:
    assert memory_limit(machine(tmp_path, {})) == 64 * GB


def test_the_tightest_control_group_around_the_process_counts(tmp_path: Path) -> None:
    groups = "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7"
    root = machine(tmp_path, {
        "proc/self/cgroup": "0::/system.slice/slurmstepd.scope/job_7/step_0\n",
        f"{groups}/step_0/memory.max": "max\n",
        f"{groups}/memory.max": f"{16 * GB}\n",
    })  # fmt: skip
    assert memory_limit(root) == 16 * GB


def test_control_groups_of_version_1_have_a_limit_too(tmp_path: Path) -> None:
    root = machine(tmp_path, {
        "proc/self/cgroup": "5:devices:/x\n4:memory:/slurm/job_7\n",
        "sys/fs/cgroup/memory/slurm/job_7/memory.limit_in_bytes": f"{8 * GB}\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",  # none
    })  # fmt: skip
    assert memory_limit(root) == 8 * GB


def test_a_container_sees_its_own_group_at_the_top(tmp_path: Path) -> None:
    """The path is the one outside of the container."""
    root = machine(tmp_path, {
        "proc/self/cgroup": "0::/docker/0123\n", "sys/fs/cgroup/memory.max": f"{4 * GB}\n",
    })  # fmt: skip
    assert memory_limit(root) == 4 * GB


def test_what_slurm_gave_the_job_is_a_limit_where_nothing_confines_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = machine(tmp_path, {})
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "30720")
    assert memory_limit(root) == 30 * GB
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")  # all of the node
    assert memory_limit(root) == 64 * GB
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "1024")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "8")
    assert memory_limit(root) == 8 * GB


def test_where_nothing_tells_it_there_is_none(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) is None
