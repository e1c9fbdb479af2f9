"""Measure in a process of its own, which is replaced when it dies, hangs or loses its GPU."""

import gc
import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.gpu.setting import Setting

Answer = dict[str, Any]


class Child:
    """Asks one process for one measurement after another; close it in the end."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._end: Connection | None = None

    def ask(self, measure: str, how: dict[str, Any], seconds: float) -> Answer:
        """Return the figures by name, or {"error": why there are none}."""
        if self._process is not None and not self._process.is_alive():
            self.close()
        if self._process is None:
            self._start()
        assert self._end is not None
        try:
            self._end.send((measure, how))
            if not self._end.poll(seconds):
                self.close()
                return {"error": f"stopped after {seconds:.0f} s"}
            answer: Answer = self._end.recv()
        except (EOFError, OSError):
            self.close()
            return {"error": "its process died"}
        if answer.pop("spent", False):
            self.close()
        return answer

    def _start(self) -> None:
        self._end, other = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(other, self.setting))
        self._process.start()
        other.close()

    def close(self) -> None:
        """Kill the process; the next question starts another one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None
        if self._end is not None:
            self._end.close()
            self._end = None


def _serve(end: Connection, setting: Setting) -> None:
    import torch

    from benchmarks.gpu import faults, measures, probes, speed, studies

    multiprocessing.set_start_method("fork", force=True)  # of loading processes, as in a worker
    torch.set_num_threads(1)  # as in a worker
    known: dict[str, Callable[..., Answer]] = {
        "step": speed.step,
        "host_waits": measures.host_waits,
        "loading": measures.loading,
        "checkpoint": measures.checkpoint,
        "evaluation": measures.evaluation,
        "probe": probes.probe,
        "finetunes_per_hour": studies.finetunes_per_hour,
        "out_of_memory": faults.out_of_memory,
        "device_assert": faults.device_assert,
    }
    while True:
        try:
            measure, how = end.recv()
        except EOFError:
            return
        try:
            answer = known[measure](setting, **how)
        except Exception as error:  # told in its row; the others are measured
            answer = {"error": _one_line(error)}
            traceback.print_exc()
        answer["spent"] = answer.get("spent", False) or not _usable(setting)
        end.send(answer)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"


def _usable(setting: Setting) -> bool:
    """Free what a measurement left on the GPU; False if no CUDA call works any more."""
    import torch

    torch.compiler.reset()
    gc.collect()
    if not setting.on_gpu:
        return True
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except RuntimeError:
        return False
    return True
