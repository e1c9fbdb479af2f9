"""What jobs run or trust is never writable by everybody, whatever the umask of who launches."""

import os
import subprocess
from pathlib import Path

from tests.cluster import Cluster
from tests.conftest import ROOT
from tests.faults import SlurmStudy


def test_a_launch_without_a_umask_leaves_nothing_that_everybody_may_write(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    """Nor do its jobs, whose logs Slurm itself writes."""
    study = SlurmStudy(tmp_path, shards, method="scratch")
    study.store.root.mkdir(mode=0o755)
    launch = subprocess.Popen(
        study.command("launch"), cwd=ROOT, stdout=subprocess.DEVNULL, umask=0, text=True
    )
    assert launch.wait() == 0
    study.ends(cluster)
    found = [path for path in study.store.root.rglob("*") if not path.is_symlink()]
    assert [path for path in found if path.stat().st_mode & 0o002] == []
    assert any(path.suffix == ".out" for path in found)


def test_a_run_folder_that_everybody_may_write_is_refused_by_its_job(
    tmp_path: Path, shards: Path
) -> None:
    """There are too many for a launch to look at each."""
    study = SlurmStudy(tmp_path, shards, method="scratch")
    study.parent_dir.path.mkdir(parents=True)
    study.parent_dir.path.chmod(0o777)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    call = study.command("launch", "--on", "local", "--jobs", "1")
    done = subprocess.run(call, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"chmod -R go-w '{study.parent_dir.path}'" in (study.parent_dir.error.read_text())
    assert not study.parent_dir.record.exists()
