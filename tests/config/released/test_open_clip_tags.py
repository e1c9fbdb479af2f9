"""Tags of open_clip's weights, read from its source without importing it."""

from pathlib import Path

import open_clip
import pytest

from hpc_xfer.config.released.open_clip_tags import (
    Tag,
    hub_folder,
    read_tags,
    tags,
    unknown_tag,
)

LISTED = """
_RN50 = dict(
    openai=_pcfg(url="https://a.org/RN50.pt", hf_hub="timm/resnet50_clip.openai/", quick_gelu=True),
    cc12m=_pcfg(hf_hub="timm/rn50.cc12m/weights.bin"),
)
_PRETRAINED = {"RN50": _RN50, "ViT-B-32": dict(alone=_pcfg("https://a.org/v.pt"[:0], **{}))}
"""


def test_the_list_is_that_of_open_clip() -> None:
    for arch in {arch for arch, _ in open_clip.list_pretrained()}:
        known = open_clip.list_pretrained_tags_by_model(arch)
        settings = {name: open_clip.get_pretrained_cfg(arch, name) for name in known}
        assert tags(arch) == {
            name: Tag(each["hf_hub"].rpartition("/")[0], bool(each.get("quick_gelu")))
            for name, each in settings.items()
        }
    assert tags("RN50-of-nobody") == {}


def test_weights_of_quick_gelu_are_offered_for_that_architecture_too() -> None:
    source = LISTED.replace('"https://a.org/v.pt"[:0], **{}', 'url="https://a.org/v.pt"')
    openai = Tag("timm/resnet50_clip.openai", quick_gelu=True)
    assert read_tags(source) == {
        "RN50": {"openai": openai, "cc12m": Tag("timm/rn50.cc12m")},
        "ViT-B-32": {"alone": Tag("")},
        "RN50-quickgelu": {"openai": openai},
    }


@pytest.mark.parametrize(
    "source",
    [
        LISTED,  # with arguments that have no name
        "",
        "_PRETRAINED = load('list.json')",
        "_PRETRAINED = {**_MORE}",
        "_PRETRAINED = {'RN50': _RN50}",
        "_PRETRAINED = {'RN50': dict(openai=_pcfg(hf_hub=HUB))}",
        "_PRETRAINED = {",
        "_PRETRAINED = \0",
    ],
)
def test_of_a_list_in_another_form_nothing_is_known(source: str) -> None:
    assert read_tags(source) is None


def test_an_unknown_tag_is_told_with_those_that_are_nearest() -> None:
    known = ("openai", "yfcc15m", "cc12m", "laion400m_e32", "commonpool_s")
    assert unknown_tag("RN50", "openia", known) == (
        "RN50 has no released weights 'openia' (known: openai, commonpool_s, laion400m_e32 and 2 "
        "more); name one of these, or add a file to `released` in the site file"
    )
    assert unknown_tag("RN50-mine", "openai", ()) == (
        "RN50-mine has no released weights 'openai' (known: none); add a file to `released` in the "
        "site file"
    )


def test_copies_are_looked_for_where_the_hubs_client_keeps_them(tmp_path: Path) -> None:
    tag = Tag("timm/resnet50_clip.openai")
    kept = tmp_path / "h/hub/models--timm--resnet50_clip.openai/snapshots/0abc"
    kept.mkdir(parents=True)
    environment = {"HF_HOME": str(tmp_path / "h")}
    assert not tag.is_fetched(environment)
    (kept / "open_clip_model.safetensors").touch()
    assert tag.is_fetched(environment)
    assert not tag.is_fetched(environment | {"HF_HUB_CACHE": str(tmp_path / "elsewhere")})
    assert hub_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/huggingface/hub")
    assert hub_folder({}) == Path.home() / ".cache/huggingface/hub"
