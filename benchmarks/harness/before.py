"""Check out an older commit of this repository, to measure it beside the files at hand.

tree = before.tree()
subprocess.run([sys.executable, "-m", "hpc_xfer.launch"], cwd=tree, env=before.environment(tree))
"""

import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
COMMIT = "ea11838"  # before fine-tuning was made faster, and its probes converged


def tree(commit: str = COMMIT) -> Path:
    """The folder of a commit, a git worktree in the folder for temporary files, made once.

    Raises:
        RuntimeError: this is not a clone with that commit.
    """
    folder = Path(tempfile.gettempdir()) / f"hpc_xfer-benchmarks-{os.getuid()}" / f"at-{commit}"
    if not (folder / "hpc_xfer").is_dir():
        command = ["git", "worktree", "add", "--force", "--detach", str(folder), commit]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{folder}: no commit {commit}: {done.stderr.strip()[-300:]}")
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Variables under which Python imports the package of that folder, in all its processes."""
    return {**os.environ, "PYTHONPATH": str(folder)}
