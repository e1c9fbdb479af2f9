"""Where and how large to measure, and how PyTorch computes meanwhile."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

_TINY = Path(__file__).parent.parent / "step/archs"
_FILES = {"RN50": _TINY / "tiny-RN.json", "ViT-B-32": _TINY / "tiny-ViT.json"}


@dataclass(frozen=True)
class Setting:
    """A device, and whether everything is made tiny to show that the script works."""

    tiny: bool = False

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def arch_file(self, name: str) -> Path | None:
        """The file of the small model that stands for a large one; None for the real one."""
        return _FILES[name] if self.tiny else None

    def batch(self, images: int) -> int:
        return 8 if self.tiny else images

    def synchronize(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()


@contextlib.contextmanager
def arithmetic(tf32: bool) -> Iterator[None]:
    """Set what open_clip's trainer sets at its start; of our steps only cuDNN's measuring."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark
    cudnn.allow_tf32 = matmul.allow_tf32 = tf32
    cudnn.benchmark = True
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = before
