"""Several workers share the runs of a pack, and each run is the work of one of them first."""

from hpc_xfer.store.pack_file import LoadedPack
from tests import tiny

RUNS = tuple(tiny.finetuning(tiny.pretraining("scratch"), draw=draw) for draw in range(5))
PACK = LoadedPack("a/0", RUNS, tiny.FINETUNE)


def test_shares_cover_a_pack_without_overlap() -> None:
    shares = [PACK.share(number, 2) for number in range(2)]
    assert [share.runs for share in shares] == [RUNS[0::2], RUNS[1::2]]
    assert [share.spare for share in shares] == [RUNS[1::2][::-1], RUNS[0::2][::-1]]


def test_one_worker_has_the_whole_pack() -> None:
    assert PACK.share(0, 1) == PACK
