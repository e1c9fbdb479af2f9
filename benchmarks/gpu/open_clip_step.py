"""open_clip's training step on one batch in memory: its own train_one_epoch."""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip_train.params import parse_args
from open_clip_train.scheduler import cosine_lr
from open_clip_train.train import train_one_epoch
from torch import Tensor, nn

from benchmarks.gpu.setting import Setting

PRECISIONS = {"bf16": "amp_bf16", "fp16": "amp", "tf32": "fp32", "fp32": "fp32"}  # ours -> theirs


class OpenClipStep:
    """Take steps on one batch; settings of AdamW and clipping are those of our recipes."""

    def __init__(
        self, setting: Setting, arch: str, batch: int, precision: str, accumulate: int = 1,
        compiled: bool = False, recomputed: bool = False,
    ) -> None:  # fmt: skip
        self.setting, self.accumulate, self.epoch = setting, accumulate, 0
        name = _known(setting.arch_file(arch), arch)
        self.args = _arguments(setting, name, batch // accumulate, precision, accumulate)
        model = open_clip.create_model(
            name, precision=self.args.precision, device=setting.device, output_dict=True
        )
        if recomputed:
            model.set_grad_checkpointing()
        self.optimizer = _optimizer(model, self.args)
        self.scaler = torch.amp.GradScaler(setting.device.type) if precision == "fp16" else None
        self.loss = open_clip.create_loss(self.args)
        self.schedule = cosine_lr(self.optimizer, self.args.lr, 0, 10**6)
        side, context = model.visual.image_size, model.context_length
        side = side if isinstance(side, int) else side[0]
        self.batch = _batch(setting, batch // accumulate, side, context)
        self.model = torch.compile(model) if compiled else model

    def run(self, steps: int) -> None:
        loader = _InMemory(self.batch, steps * self.accumulate)
        train_one_epoch(
            self.model, {"train": _Data(loader)}, self.loss, self.epoch, self.optimizer,
            self.scaler, self.schedule, None, self.args,
        )  # fmt: skip
        self.epoch += 1


@dataclass(frozen=True)
class _InMemory:
    """The same batch again and again; what train_one_epoch asks of a DataLoader."""

    batch: tuple[Tensor, Tensor]
    num_batches: int

    @property
    def num_samples(self) -> int:
        return self.num_batches * len(self.batch[0])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(self.num_batches):
            yield self.batch


@dataclass(frozen=True)
class _Data:
    dataloader: _InMemory

    def set_epoch(self, epoch: int) -> None:
        """The batch is the same in all epochs."""


def _known(file: Path | None, arch: str) -> str:
    if file is None:
        return arch
    open_clip.add_model_config(file)
    return file.stem


def _arguments(
    setting: Setting, name: str, batch: int, precision: str, accumulate: int
) -> Namespace:
    """Parse the command line of its trainer, then add what its `main` adds."""
    call = [
        f"--model={name}", f"--batch-size={batch}", f"--precision={PRECISIONS[precision]}",
        f"--accum-freq={accumulate}", "--lr=1e-3", "--wd=0.1", "--beta1=0.9", "--beta2=0.98",
        "--eps=1e-8", "--grad-clip-norm=1.0", "--log-every-n-steps=1000000",
    ]  # fmt: skip
    args = parse_args(call)
    # Rank 0 logs the first and the last step of each call, and waits for the GPU to do so.
    args.device, args.rank, args.local_rank, args.world_size = str(setting.device), 1, 0, 1
    args.distributed, args.distill, args.wandb = False, False, False
    return args


def _optimizer(model: nn.Module, args: Namespace) -> torch.optim.Optimizer:
    """AdamW as its `main` makes it: no weight decay for norms, biases and the logit scale."""
    plain: list[nn.Parameter] = []
    decayed: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        special = any(part in name for part in ("bn", "ln", "bias", "logit_scale"))
        (plain if weight.ndim < 2 or special else decayed).append(weight)
    groups: list[dict[str, Any]] = [
        {"params": plain, "weight_decay": 0.0}, {"params": decayed, "weight_decay": args.wd},
    ]  # fmt: skip
    return torch.optim.AdamW(groups, lr=args.lr, betas=(args.beta1, args.beta2), eps=args.eps)


def _batch(setting: Setting, n: int, side: int, context: int) -> tuple[Tensor, Tensor]:
    """Normalized fp32 images, as its loader delivers them."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(n, 3, side, side, generator=generator)
    tokens = torch.randint(1, 49000, (n, context), generator=generator)
    return (images.pin_memory(), tokens.pin_memory()) if setting.on_gpu else (images, tokens)
