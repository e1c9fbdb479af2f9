"""Activation, image size, normalization of weights: known, stated, refused or told as unknown."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hpc_xfer.config import architectures
from hpc_xfer.config.recipes import Arch
from hpc_xfer.config.released.released_entry import ReleasedEntry
from hpc_xfer.config.released.weight_facts import (
    WeightFacts,
    check_facts,
    fact_notes,
    facts_of,
    facts_of_header,
    facts_of_tag,
)
from hpc_xfer.config.released.weight_files import find_weights
from hpc_xfer.errors import DataError
from tests import tiny

HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def facts(folder: Path, config: dict[str, Any] | None = None, **stated: Any) -> WeightFacts:
    """The facts of a state dict, with open_clip's config beside it."""
    torch.save({"conv1.weight": torch.ones(2)}, folder / "openclip.pt")
    if config is not None:
        (folder / "open_clip_config.json").write_text(json.dumps(config))
    entry = ReleasedEntry(path=str(folder / "openclip.pt"), **stated)
    return facts_of(entry, find_weights(Path(entry.path)))


def refused(found: WeightFacts, arch: Arch) -> str:
    with pytest.raises(DataError) as caught:
        check_facts(found, arch, "w.pt")
    return str(caught.value)


def notes(found: WeightFacts, arch: Arch) -> list[str]:
    return list(fact_notes(found, arch, "openclip.pt"))


def config_of(arch: str, **changes: Any) -> dict[str, Any]:
    """What the hub's open_clip_config.json has for an architecture."""
    images = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic",
              "resize_mode": "shortest", "size": [224, 224]}  # fmt: skip
    return {"model_cfg": dict(architectures.model_config(arch)), "preprocess_cfg": images | changes}


def test_an_activation_that_nobody_knows_is_told(tmp_path: Path) -> None:
    found = facts(tmp_path, mean=HALVES[0], std=HALVES[1])
    assert notes(found, "ViT-B-32") == [
        "nothing tells which activation openclip.pt was trained with; taken from arch ViT-B-32 "
        "(gelu); state it with `activation`"
    ]
    assert notes(found, "ViT-B-32-quickgelu")[0].endswith(
        "taken from arch ViT-B-32-quickgelu (quick_gelu); state it with `activation`"
    )


def test_architectures_with_one_activation_have_no_such_doubt(tmp_path: Path) -> None:
    found = facts(tmp_path, mean=HALVES[0], std=HALVES[1])
    for arch in ("torchvision/resnet50", "convnext_base", tiny.ARCH):
        assert notes(found, arch) == []


def test_a_normalization_that_nobody_knows_is_told(tmp_path: Path) -> None:
    assert notes(facts(tmp_path, activation="gelu"), "ViT-B-32") == [
        "nothing tells the mean and std of openclip.pt; those of arch ViT-B-32 are taken; state "
        "them with `mean` and `std`"
    ]


def test_what_is_stated_is_compared_both_ways(tmp_path: Path) -> None:
    assert refused(facts(tmp_path, activation="quick_gelu"), "ViT-B-32") == (
        "w.pt: was trained with quick_gelu (site file), arch ViT-B-32 has gelu; use arch "
        "ViT-B-32-quickgelu"
    )
    assert refused(facts(tmp_path, activation="gelu"), "ViT-B-32-quickgelu") == (
        "w.pt: was trained with gelu (site file), arch ViT-B-32-quickgelu has quick_gelu; use arch "
        "ViT-B-32"
    )


def test_the_config_beside_a_file_tells_all_of_it(tmp_path: Path) -> None:
    found = facts(tmp_path, config_of("ViT-B-32-quickgelu"))
    assert (found.activation, found.size, found.normalization) == ("quick_gelu", 224, HALVES)
    assert found.activation_by == found.size_by == found.normalization_by == "open_clip_config.json"
    assert notes(found, "ViT-B-32-quickgelu") == []
    check_facts(found, "ViT-B-32-quickgelu", "w.pt")
    assert "use arch ViT-B-32-quickgelu" in refused(found, "ViT-B-32")
    assert refused(found, "ViT-B-16-quickgelu") == (
        "w.pt: open_clip_config.json has vision_cfg.patch_size 32, arch ViT-B-16-quickgelu has 16; "
        "use another arch"
    )


def test_images_that_open_clip_makes_in_another_way_are_told(tmp_path: Path) -> None:
    found = facts(tmp_path, config_of("ViT-B-16-SigLIP", resize_mode="squash"))
    assert notes(found, "ViT-B-16-SigLIP") == [
        "openclip.pt: open_clip resizes its images by bicubic and squash, here by bicubic and "
        "shortest"
    ]
    tag = facts_of_tag({"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bilinear"})
    assert "by bilinear and shortest" in notes(tag, "MobileCLIP-S1")[0]


def test_a_size_that_the_position_embeddings_do_not_have_is_refused(tmp_path: Path) -> None:
    assert refused(facts(tmp_path, size=336), "ViT-L-14") == (
        "w.pt: is for images of 336 pixels (site file), arch ViT-L-14 takes 224; use arch "
        "ViT-L-14-336"
    )
    assert refused(facts(tmp_path, size=500), "ViT-L-14").endswith("takes 224; use another arch")
    assert refused(facts(tmp_path, size=64), tiny.ARCH).endswith("takes 32; use another arch")
    for arch in ("torchvision/resnet50", "convnext_base"):  # which have none
        check_facts(facts(tmp_path, size=288), arch, "w.pt")


def test_the_site_goes_before_the_file_but_not_for_the_activation(tmp_path: Path) -> None:
    ones = (1.0, 1.0, 1.0)
    found = facts(tmp_path, config_of("ViT-B-32"), mean=ones, std=ones, size=256)
    assert (found.normalization, found.normalization_by) == ((ones, ones), "site file")
    assert (found.size, found.size_by) == (256, "site file")
    with pytest.raises(DataError) as caught:
        facts(tmp_path, config_of("ViT-B-32"), activation="quick_gelu")
    assert str(caught.value) == (
        f"{tmp_path}/openclip.pt: open_clip_config.json says gelu, the site file states "
        "quick_gelu; remove `activation`"
    )


def test_openais_files_are_known_by_the_numbers_beside_their_weights(tmp_path: Path) -> None:
    file = tmp_path / "ViT-B-32.pt"
    torch.save({"input_resolution": torch.tensor(224), "visual.proj": torch.ones(2)}, file)
    found = facts_of(ReleasedEntry(path=str(file)), find_weights(file))
    assert (found.activation, found.activation_by) == ("quick_gelu", "OpenAI's file")
    assert found.normalization is not None and found.normalization[0][0] == 0.48145466
    assert notes(found, "ViT-B-32-quickgelu") == []


def test_the_header_of_our_own_files_tells_their_arch() -> None:
    found = facts_of_header({"arch": "ViT-B-32-quickgelu", "image_size": "224"})
    assert (found.activation, found.size) == ("quick_gelu", 224)
    described = facts_of_header({"arch": json.dumps(tiny.ARCH.model_dump()), "mean": "[0.5]"})
    assert (described.activation, described.normalization) == ("gelu", None)


@pytest.mark.parametrize("arch", ["ViT-B-32", "RN50", "convnext_base", "ViT-B-16-SigLIP"])
def test_configs_of_open_clip_fit_their_own_architecture(arch: str, tmp_path: Path) -> None:
    found = facts(tmp_path, config_of(arch))
    check_facts(found, arch, "w.pt")
    assert notes(found, arch) == []
