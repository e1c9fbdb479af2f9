"""Files of weights made to harm: bombs, claims, code, and files put in place of others."""

import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from hpc_xfer.compute.models import encoders, weights_file
from hpc_xfer.config import architectures
from hpc_xfer.config.recipes import METHODS, Architecture
from hpc_xfer.errors import DataError
from hpc_xfer.store.store import Store
from tests import tiny
from tests.compute.models.state_dicts import RESNET, refused, saved

HUGE = 2**30
RESNET_STATE = {"conv1.weight": torch.zeros(3), "other": torch.zeros(3)}


def rewritten(file: Path, change: Callable[[bytes], bytes], compression: int = 0) -> Path:
    """Write an archive anew with another pickle."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, change(data) if name.endswith("data.pkl") else data)
    return file


def with_count(count: int) -> Callable[[bytes], bytes]:
    """Put another number in place of each 3 in a pickle."""
    return lambda data: data.replace(b"K\x03", b"J" + struct.pack("<i", count))


def told_by_store(file: Path) -> str:
    """What is said of a file in a store that is not read."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert weights_file.read(file) is None
    return str(caught[0].message)


class Calls:
    """Asks whoever reads it to call a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def test_a_compressed_member_is_not_unpacked(tmp_path: Path) -> None:
    """100 kB that would become 100 MB; a small step from 10 MB and 10 GB."""
    file = saved(tmp_path / "w.pt", {"a": torch.zeros(25_000_000)})
    rewritten(file, lambda data: data, zipfile.ZIP_DEFLATED)
    assert file.stat().st_size < 200_000
    assert "has compressed members, which torch does not write" in told_by_store(file)
    assert "has compressed members" in refused(RESNET, file)


@pytest.mark.parametrize("count", [4, HUGE, 2**31 - 1])
def test_a_tensor_that_claims_more_than_its_bytes_is_not_made(count: int, tmp_path: Path) -> None:
    """torch would show what lies behind it in memory, as weights."""
    file = rewritten(saved(tmp_path / "w.pt", RESNET_STATE), with_count(count))
    assert "has a tensor that is larger than its data" in told_by_store(file)
    assert "has a tensor that is larger than its data" in refused(RESNET, file)


def test_a_tensor_that_repeats_one_number_is_not_made(tmp_path: Path) -> None:
    file = saved(tmp_path / "w.pt", {"a": torch.zeros(1).expand(HUGE)})
    assert file.stat().st_size < 2_000
    assert "has a tensor that is larger than its data" in told_by_store(file)


@pytest.mark.parametrize("function", [torch.Tensor, torch.FloatTensor, bytearray])
def test_what_would_take_memory_for_a_number_is_not_called(function: type, tmp_path: Path) -> None:
    file = saved(tmp_path / "w.pt", {"a": Calls(function, 10**12)})
    told_by_store(file)
    told = refused(RESNET, file)
    assert told.startswith(("holds an object", "is not a file of weights"))


def test_a_file_of_an_old_torch_that_claims_more_than_its_bytes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    torch.save(RESNET_STATE, file, _use_new_zipfile_serialization=False)
    file.write_bytes(with_count(HUGE)(file.read_bytes()))
    assert "has a tensor that is larger than its data" in refused(RESNET, file)


class WithProgram(nn.Module):
    """Has code that runs when the module is read."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.ones(2)

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, bool]:
        return self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        raise ValueError("was run")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images


@pytest.mark.filterwarnings("ignore")  # torch advises against TorchScript
def test_the_program_of_a_torchscript_archive_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    torch.jit.save(torch.jit.script(WithProgram()), file)
    with pytest.raises(torch.jit.Error, match="was run"):
        torch.jit.load(file)
    assert "is not a state dict" in refused(RESNET, file)


class OfNobody:
    """A class that is no data."""


@pytest.mark.parametrize("content", [OfNobody(), Path("x"), Calls(print, "run")])
def test_nothing_that_is_said_of_a_file_advises_to_trust_it(
    content: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = saved(tmp_path / "w.pt", {"a": content})
    for told in (told_by_store(file), refused(RESNET, file)):
        assert not {"weights_only", "trust", "safe_globals"} & set(told.replace("(", " ").split())
        assert "weights_only" not in told and "allowlist" not in told
    assert capsys.readouterr().out == ""


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_change_of_a_pickle_is_refused_or_harmless(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "changed.pt"
    torch.save({"a": torch.zeros(3), "n": {"lr": 0.1, "steps": [1, 2]}}, file)

    def change(content: bytes) -> bytes:
        at = data.draw(st.integers(0, len(content) - 1))
        return content[:at] + data.draw(st.binary(max_size=6)) + content[at + 1 :]

    rewritten(file, change)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weights_file.read(file)  # None, or a state; no error


@pytest.fixture
def done(tmp_path: Path) -> tuple[Store, Path]:
    """A store with a parent, and the file of its encoder."""
    store, parent = Store(tmp_path), tiny.pretraining("scratch")
    return store, tiny.finished(store, parent).encoder


def outcome(store: Store) -> dict[str, Any]:
    """The last event of a fine-tuning from the parent."""
    return tiny.execute(store, tiny.head(tiny.pretraining("scratch")))[-1]


def test_an_encoder_that_was_put_in_place_of_another_is_not_measured(
    done: tuple[Store, Path],
) -> None:
    store, encoder = done
    encoders.save(encoder, tiny.ARCH, encoders.build(tiny.ARCH, seed=9, with_text=False))
    event = outcome(store)
    assert event["event"] == "failed" and event["class"] == "data"
    assert "encoder.pt: is not the file that its run wrote" in event["message"]


def without_products(record: Path) -> None:
    content = json.loads(record.read_text())
    del content["provenance"]["products"]
    record.write_text(json.dumps(content))


def test_a_record_of_an_older_version_is_believed_but_the_architecture_is_that_of_the_recipe(
    done: tuple[Store, Path], caplog: pytest.LogCaptureFixture
) -> None:
    store, encoder = done
    without_products(encoder.parent / "record.json")
    wide = tiny.ARCH.model_copy(update={"embed_dim": 32})
    whole = encoder.read_bytes()
    encoders.save(encoder, wide, encoders.build(wide, seed=0, with_text=False))
    assert "is of another arch than its run" in outcome(store)["message"]
    assert "records of an older version do not say which file is the encoder" in caplog.text
    encoder.write_bytes(whole)
    assert outcome(store)["event"] == "done"


PLACES = [
    "hf-hub:evil/model", "hf_hub:evil/model", "local-dir:/home/evil", "/home/evil/model",
    "../../home/evil/arch", "https://evil/model", "file:///model", "RN50\n", "", "a" * 200,
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_an_architecture_names_no_hub_no_folder_and_no_path(place: str) -> None:
    for method in ("scratch", "released"):
        with pytest.raises(ValidationError):
            METHODS[method].model_validate({"method": method, "arch": place, "weights": "w"})
    with pytest.raises(DataError, match="no architecture is called"):
        architectures.model_config(place)
    with pytest.raises(ValidationError):
        Architecture(embed_dim=8, vision_cfg={"timm_model_name": place})


SIZES: dict[str, dict[str, Any]] = {
    "width": {"width": 10**9},
    "layers": {"layers": 10**6},
    "blocks": {"layers": [10**6, 1, 1, 1]},
    "stages": {"layers": [1] * 10_000},
    "image": {"image_size": 10**9},
    "patches": {"patch_size": 0},
    "NaN": {"mlp_ratio": float("nan")},
    "a flag": {"width": True},
    "weights from the hub": {"timm_model_name": "resnet18", "timm_model_pretrained": True},
    "an unknown key": {"checkpoint_path": "x"},
    "options": {"act_kwargs": {"a": {"b": 1}}},
}


@pytest.mark.parametrize("name", SIZES)
def test_numbers_that_no_machine_can_build_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Architecture(embed_dim=8, vision_cfg=SIZES[name])


@pytest.mark.parametrize(
    "text", [{"hf_model_name": "evil/model"}, {"hf_tokenizer_name": "evil/model"},
             {"tokenizer_kwargs": {}}, {"vocab_size": 10**10}]
)  # fmt: skip
def test_a_text_tower_comes_from_no_hub(text: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Architecture(embed_dim=8, vision_cfg={}, text_cfg=text)


def test_sizes_that_are_large_together_are_refused_before_they_are_built() -> None:
    large = Architecture(embed_dim=8, vision_cfg={"width": 16_384, "layers": 256})
    with pytest.raises(DataError, match=r"has 8\d\d,\d{3},\d{3},\d{3} weights, and at most 10,000"):
        encoders.build(large, seed=0, with_text=False)
