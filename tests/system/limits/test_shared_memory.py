"""What /dev/shm has."""

from pathlib import Path

from hpc_xfer.system.limits.shared_memory import in_words, shared_memory


def test_a_folder_in_memory_has_a_size_and_some_of_it_free(tmp_path: Path) -> None:
    room = shared_memory(str(tmp_path))
    assert room is not None and 0 < room.free <= room.total
    assert in_words(str(tmp_path)).startswith(f"{tmp_path} has ")


def test_a_machine_may_have_none(tmp_path: Path) -> None:
    missing = str(tmp_path / "shm")
    assert shared_memory(missing) is None
    assert in_words(missing) == f"{missing} is missing"
