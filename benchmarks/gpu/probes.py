"""Time a linear probe along its whole path, on the GPU and on one core."""

import time
from typing import Any

import torch

from benchmarks.gpu.setting import Setting
from hpc_xfer.compute.finetuning.probes.path_result import Labeled, fit_logistic
from hpc_xfer.config.finetune_recipes import PENALTIES

_SPREAD = 2.0  # of the noise around the center of a class: a probe is right for most images


def probe(
    setting: Setting, images: int, dim: int, classes: int, on_core: bool = False
) -> dict[str, Any]:
    """Fit logistic regression at every penalty of the default path.

    Args:
        on_core: solve it on the CPU too, with one thread as a worker has.
    """
    if setting.tiny:
        images, dim, classes = 40, 16, 4
    train = _features(images, dim, classes)
    fit_logistic(_on(setting.device, train), classes, PENALTIES.values[:2])  # starts its libraries
    told = [f"{_seconds(setting, _on(setting.device, train), classes):.1f} s"]
    if on_core and setting.on_gpu:
        told.append(f"{_seconds(setting, train, classes):.1f} s on a core")
    return {"found": ", ".join(told)}


def _features(images: int, dim: int, classes: int) -> Labeled:
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(classes, dim, generator=generator)
    labels = torch.arange(images) % classes
    found = centers[labels] + _SPREAD * torch.randn(images, dim, generator=generator)
    return Labeled(torch.nn.functional.normalize(found, dim=1), labels)


def _on(device: torch.device, images: Labeled) -> Labeled:
    return Labeled(images.features.to(device), images.labels.to(device))


def _seconds(setting: Setting, train: Labeled, classes: int) -> float:
    setting.synchronize()
    begun = time.perf_counter()
    fit_logistic(train, classes, PENALTIES.values)
    setting.synchronize()
    return time.perf_counter() - begun
