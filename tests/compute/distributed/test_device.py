"""A process that was given a GPU uses it or fails; ranks compare their devices when they meet."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hpc_xfer.compute.distributed import device, process_group
from hpc_xfer.compute.distributed.roll_call import RankDevice, disagreement
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.errors import GpuMissing, StudyError
from tests import tiny

HIDDEN = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}  # also where there is a GPU


@pytest.fixture(autouse=True)
def nothing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HPC_XFER_DEVICE", "SLURMD_NODENAME", *HIDDEN):
        monkeypatch.delenv(name, raising=False)


def in_a_child(check: Callable[..., None], *arguments: object) -> None:
    """Call `check` where torch has not looked for GPUs yet."""
    assert tiny.join([tiny.child(check, *arguments)], seconds=60) == [0]


def refused(given: dict[str, str], local_rank: int = 0) -> str:
    os.environ |= given
    try:
        device.of_rank(local_rank)
    except GpuMissing as error:
        return str(error)
    raise AssertionError("a device was found")


def says_what_was_given_and_the_way_out() -> None:
    words = refused({**HIDDEN, "HPC_XFER_DEVICE": "cuda", "SLURMD_NODENAME": "n7"})
    assert words.startswith("n7: given HPC_XFER_DEVICE=cuda and CUDA_VISIBLE_DEVICES= ")
    assert f"torch {torch.__version__}" in words and "driver: " in words
    assert "cannot use a GPU: " in words and "HPC_XFER_DEVICE=cpu trains on the CPU" in words
    assert "\n" not in words


def test_a_gpu_that_was_given_and_is_not_there_is_an_error() -> None:
    in_a_child(says_what_was_given_and_the_way_out)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "CUDA error: CUDA-capable device(s) is/are busy or unavailable\nSearch for",
            "a GPU: CUDA error: CUDA-capable device(s) is/are busy or unavailable (driver: ",
        ),
        (
            "CUDA unknown error, e.g. a late change. Setting",
            "CUDA unknown error, e.g. a late change (",
        ),
    ],
)
def test_the_words_of_torch_are_told_without_its_advice(
    words: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **more: object) -> None:
        raise RuntimeError(words)

    monkeypatch.setenv("HPC_XFER_DEVICE", "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", fail)
    with pytest.raises(GpuMissing) as missing:
        device.of_rank(0)
    assert told in str(missing.value)
    assert ("set per_gpu to 1" in str(missing.value)) == ("busy" in words)


def is_expected_where_slurm_shows_one() -> None:
    if torch.cuda.is_available():
        return
    assert "CUDA_VISIBLE_DEVICES=0" in refused({"CUDA_VISIBLE_DEVICES": "0"})


def test_a_gpu_that_slurm_shows_was_given() -> None:
    in_a_child(is_expected_where_slurm_shows_one)


def is_silent() -> None:
    os.environ |= {**HIDDEN, "HPC_XFER_DEVICE": "cuda"}
    refused({})  # a warning would be an error here


def test_the_warning_of_torch_is_part_of_the_sentence_and_nowhere_else() -> None:
    in_a_child(is_silent)


def test_a_user_may_ask_for_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("HPC_XFER_DEVICE", "cpu")
    assert device.of_rank(3) == torch.device("cpu")
    assert device.description(device.of_rank(0)) == {"device": "cpu", "gpu": None}


def test_an_unknown_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPC_XFER_DEVICE", "gpu")
    with pytest.raises(StudyError, match="HPC_XFER_DEVICE=gpu names no device; set cuda or cpu"):
        device.kind()


def meet(rank: int, given: str, meeting: Path, told: Path) -> None:
    os.environ |= {**HIDDEN, "HPC_XFER_DEVICE": given, "SLURMD_NODENAME": f"n{rank}"}
    try:
        with process_group.join(rank, 2, 0, meeting, StopSignal()) as world:
            told.write_text(" ".join(world.nodes))
    except GpuMissing as error:
        told.write_text(f"{error.node}: {error}")


def met(tmp_path: Path, *given: str) -> list[str]:
    told = [tmp_path / str(rank) for rank in range(2)]
    meeting = tmp_path / "rendezvous.json"
    ranks = [tiny.child(meet, rank, given[rank], meeting, told[rank]) for rank in range(2)]
    assert tiny.join(ranks, seconds=60) == [0, 0]
    assert not meeting.exists()
    return [path.read_text() for path in told]


@pytest.mark.parametrize("lacks", [0, 1])
def test_all_ranks_fail_where_one_lacks_its_gpu(lacks: int, tmp_path: Path) -> None:
    given = ["cpu", "cpu"]
    given[lacks] = "cuda"
    for told in met(tmp_path, *given):
        assert told.startswith(f"n{lacks}: rank {lacks} on n{lacks}: n{lacks}: given HPC_XFER_DEV")


def test_ranks_that_agree_know_the_nodes_of_all(tmp_path: Path) -> None:
    assert met(tmp_path, "cpu", "cpu") == ["n0 n1", "n0 n1"]


def gpu(rank: int, node: str, name: str) -> RankDevice:
    return RankDevice(rank, node, "cuda", name)


def test_a_mixture_of_devices_names_ranks_and_nodes() -> None:
    ranks = [gpu(0, "n1", "a"), *(RankDevice(rank, "n2", "cpu") for rank in range(1, 6))]
    error = disagreement(ranks)
    assert error is not None and error.node == "n2"
    assert str(error).startswith(
        "rank 1 on n2, rank 2 on n2, rank 3 on n2 and 2 more: on the CPU, but rank 0 on n1 on a GPU"
    )


def test_two_ranks_may_not_share_a_gpu_unknowingly() -> None:
    """Each sees one GPU, number 0; on one node these are the same, on two they are not."""
    assert disagreement([gpu(0, "n1", "a"), gpu(1, "n1", "b"), gpu(2, "n2", "a")]) is None
    error = disagreement([gpu(0, "n1", "a"), gpu(1, "n2", "a"), gpu(2, "n2", "a")])
    assert error is not None and error.node == "n2"
    assert str(error).startswith("rank 1 on n2, rank 2 on n2: both see one GPU (a)")
