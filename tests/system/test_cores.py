"""The cores that a process may use: those it is bound to, and the quota of a container."""

from pathlib import Path

import pytest

from hpc_xfer.system.machine import cores

ALL = cores(Path("/nowhere"))


def groups(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", ALL), ("100000 100000", 1), ("20000 100000", 1), ("6400000 100000", ALL)],
)
def test_a_quota_of_a_container_limits_the_cores(quota: str, expected: int, tmp_path: Path) -> None:
    root = groups(tmp_path, {
        "proc/self/cgroup": "0::/docker/0123\n", "sys/fs/cgroup/cpu.max": f"{quota}\n",
    })  # fmt: skip
    assert cores(root) == expected


def test_version_1_has_quotas_too(tmp_path: Path) -> None:
    folder = "sys/fs/cgroup/cpu/slurm/job_7"
    root = groups(tmp_path, {
        "proc/self/cgroup": "4:cpu,cpuacct:/slurm/job_7\n",
        f"{folder}/cpu.cfs_quota_us": "100000\n", f"{folder}/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    })  # fmt: skip
    assert cores(root) == 1
