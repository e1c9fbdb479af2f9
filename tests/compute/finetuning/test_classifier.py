"""A classifier on an encoder: start from text, features, accuracies."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hpc_xfer.compute.distributed.global_batchnorm import recalibrate
from hpc_xfer.compute.downstream.datasets import GrayImages
from hpc_xfer.compute.downstream.eval_images import EvalImages
from hpc_xfer.compute.finetuning.cache import FrozenFeatures
from hpc_xfer.compute.finetuning.classifier import (
    Classifier,
    extract,
    zero_shot_weights,
)
from hpc_xfer.compute.models import encoders
from hpc_xfer.store.heartbeat import Liveness
from tests import tiny

CPU = torch.device("cpu")
NAMES = ("digit zero", "digit one", "latin small letter a")


def noise(n: int, side: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (n, 3, side, side), generator=generator, dtype=torch.uint8)


def test_a_head_from_text_starts_as_the_cosine_classifier() -> None:
    towers = encoders.build(tiny.ARCH, seed=0, with_text=True)
    towers.visual.eval()
    tokenize = encoders.tokenizer(tiny.ARCH)
    model = Classifier(towers, len(NAMES), smoothing=0)
    images = noise(20)
    features = extract(model, [images], CPU)
    model.standardize(features)
    model.start_from(zero_shot_weights(towers, tokenize, NAMES, ["{}", "a {}"]))

    assert towers.logit_scale is not None
    with torch.no_grad():
        prompts = [towers.text_features(tokenize([name, f"a {name}"])) for name in NAMES]
        text = F.normalize(torch.stack([p.mean(dim=0) for p in prompts]), dim=-1)
        image = towers.image_features(model.normalize(images))
        direct = towers.logit_scale.exp() * image @ text.T
        assert torch.allclose(model.logits(features), direct, atol=1e-3)


def test_a_head_from_text_predicts_the_same_where_features_are_projected() -> None:
    towers = encoders.build("torchvision/resnet18", seed=0, with_text=True)
    towers.visual.eval()
    tokenize = encoders.tokenizer("torchvision/resnet18")
    model = Classifier(towers, len(NAMES), smoothing=0)
    features = extract(model, [noise(10, side=64)], CPU)
    model.standardize(features)
    model.start_from(zero_shot_weights(towers, tokenize, NAMES, ["{}"]))
    with torch.no_grad():
        image = towers.image_features(model.normalize(noise(10, side=64)))
        text = torch.cat([towers.text_features(tokenize([name])) for name in NAMES])
        choice = (image @ text.T).argmax(dim=1)
        assert torch.equal(model.logits(features).argmax(dim=1), choice)


def test_standardized_features_are_centered_with_root_mean_square_one() -> None:
    model = Classifier(encoders.build(tiny.ARCH, 0, with_text=False), 3, smoothing=0)
    features = extract(model, [noise(30)], CPU)
    assert features.norm(dim=1).tolist() == pytest.approx([1] * 30, abs=1e-5)
    model.standardize(features)
    seen = (features - model.centre) / model.spread
    assert seen.mean(dim=0).abs().max() < 1e-3
    assert float(seen.square().mean()) == pytest.approx(1, abs=1e-4)
    model.standardize(features[:1])  # one image has no spread, and no division by zero
    assert model.logits(features[:1]).isfinite().all()


def test_the_classifier_trains_a_copy() -> None:
    towers = encoders.build(tiny.ARCH, 0, with_text=False)
    before = {name: value.clone() for name, value in towers.visual.state_dict().items()}
    model = Classifier(towers, 3, smoothing=0).train()
    model({"images": noise(8), "labels": torch.arange(8) % 3}).backward()
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    after = towers.visual.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


# Features that trials share.


@dataclass(frozen=True, eq=False)
class CountedImages(GrayImages):
    """Records which images are decoded."""

    decoded: list[int] = field(default_factory=list)

    def image(self, i: int) -> Tensor:
        self.decoded.append(i)
        return super().image(i)


def images(n: int) -> CountedImages:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 8, 8), dtype=np.uint8)
    return CountedImages(np.zeros(n, dtype=np.int64), pixels)


def test_features_do_not_depend_on_earlier_calls() -> None:
    """Bit for bit, so that a resumed pack gives the same results."""
    model = Classifier(encoders.build(tiny.ARCH, 0, with_text=False), 3, smoothing=0)
    few, many = np.array([3, 5, 9]), np.arange(60)
    fresh = FrozenFeatures(EvalImages(images(60), 32)).of(model, few, CPU, Liveness())
    used = FrozenFeatures(EvalImages(images(60), 32))
    used.of(model, many, CPU, Liveness())
    assert torch.equal(used.of(model, few, CPU, Liveness()), fresh)
    assert torch.equal(used.of(model, few, CPU, Liveness()), fresh)


def test_images_are_decoded_once_and_batches_are_even() -> None:
    counted = images(600)
    shown = EvalImages(counted, 32)
    sizes = [len(batch) for batch in shown.batches(np.arange(515))]
    assert sizes == [172, 172, 171]
    list(shown.batches(np.arange(600)))
    assert counted.decoded == [*range(600)]


# Batch norm.


def test_recalibration_gives_the_statistics_of_the_final_weights() -> None:
    norm = nn.BatchNorm2d(3, momentum=0.1)
    norm.running_mean.fill_(99)  # type: ignore[union-attr]
    module = nn.Sequential(norm, nn.Flatten())
    x = torch.randn(64, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 3 + 5
    recalibrate(module, x.chunk(4))
    assert norm.running_mean is not None and norm.running_var is not None
    assert torch.allclose(norm.running_mean, x.mean(dim=(0, 2, 3)), atol=1e-4)
    assert torch.allclose(norm.running_var, x.var(dim=(0, 2, 3)), rtol=0.1)
    assert norm.momentum == 0.1 and not module.training


def test_recalibration_of_a_net_without_batch_norm_reads_no_image() -> None:
    def none() -> Tensor:
        raise AssertionError

    module = nn.Sequential(nn.Linear(2, 2))
    recalibrate(module, (none() for _ in range(3)))
    assert not module.training
