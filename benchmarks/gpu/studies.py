"""Fine-tunings per hour of a small study, started as a user does: launch --on local."""

import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.gpu.setting import Setting
from hpc_xfer.system import machine

_ROOT = Path(__file__).parent.parent.parent
_GRID = """\
name: per_gpu_{per_gpu}
pretrain:
  - {{method: scratch, arch: {arch}}}
finetune:
  datasets: [digits]
  shots: [5]
  draws: {draws}
  mode: [ft]
  batch: 32
  epochs: {epochs}
  lr: 1e-3
resources:
  finetune: {{per_gpu: {per_gpu}, target_minutes: 0.01}}
"""


def finetunes_per_hour(setting: Setting, per_gpu: int, seconds: float) -> dict[str, Any]:
    """Count what `per_gpu` processes on one GPU finish; starting them does not count.

    Without a GPU so many processes share the cores.
    """
    draws, epochs = (2, 1) if setting.tiny else (8, 10)
    arch = setting.arch_file("RN50") or "RN50"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grid = folder / "grid.yaml"
        grid.write_text(_GRID.format(per_gpu=per_gpu, arch=arch, draws=draws, epochs=epochs))
        (folder / "site.yaml").write_text("{}\n")
        command = [sys.executable, "-m", "hpc_xfer.launch", str(grid), "--on", "local"]
        command += ["--site", str(folder / "site.yaml"), "--store", str(folder / "store")]
        command += ["--jobs", str(per_gpu)]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=_ROOT, timeout=seconds,
            env=_environment(),
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"launch failed: {(done.stdout + done.stderr)[-500:]}")
        spans = _spans(folder / "store")
    whole = (max(end for _, end in spans) - min(begin for begin, _ in spans)).total_seconds()
    rate = 3600 * len(spans) / max(whole, 1.0)  # records know whole seconds
    return {"found": f"{rate:,.0f} fine-tunings an hour ({len(spans)} in {whole:.0f} s)"}


def _environment() -> dict[str, str]:
    """Show the processes one GPU, whatever this machine has."""
    variables = {**os.environ, "PYTHONPATH": str(_ROOT)}
    if names := machine.gpus():
        variables["CUDA_VISIBLE_DEVICES"] = names[0]
    return variables


def _spans(store: Path) -> list[tuple[datetime, datetime]]:
    """Begin and end of each fine-tuning."""
    records = [json.loads(path.read_text()) for path in store.glob("runs/*/record.json")]
    sources = [record["provenance"] for record in records if record["kind"] == "finetune"]
    parsed = datetime.fromisoformat
    return [(parsed(each["started"]), parsed(each["ended"])) for each in sources]
