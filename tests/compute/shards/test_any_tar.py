"""Random tars, whole and damaged: all samples are found, or the shard is refused."""

import io
import tarfile
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hpc_xfer.compute.shards.shard import Shard, open_shard
from hpc_xfer.errors import DataError

Found = list[tuple[str, dict[str, tuple[int, int]]]]
PADDING = tarfile.RECORDSIZE + 1024  # zeros of the end mark and of padding are fewer

KEYS = st.sampled_from(["0", "1", "a/2", "./3", "n" * 130, "é\udcff", "p/" * 40 + "4" * 60])
FIELDS = st.sampled_from(["jpg", "txt", "json", "seg.png"])
FORMATS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


@dataclass(frozen=True)
class Entry:
    name: str
    size: int
    time: float
    link_to: str = ""


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    """Samples in any order, keys that come again, members of no sample, hard links."""
    made: list[Entry] = []
    for key in draw(st.lists(KEYS, max_size=8)):
        for field in draw(st.lists(FIELDS, min_size=1, max_size=3, unique=True)):
            earlier = [each.name for each in made if not each.link_to and each.name.isascii()]
            is_link = bool(earlier) and draw(st.integers(0, 9)) == 0
            time = draw(st.sampled_from([1.7e9, 1.7e9 + 0.25]))
            link = draw(st.sampled_from(earlier)) if is_link else ""
            size = 0 if is_link else draw(st.integers(0, 3_000))
            made.append(Entry(f"{key}.{field}", size, time, link))
        if draw(st.integers(0, 5)) == 0:
            made.append(Entry(draw(st.sampled_from(["README", "._0.jpg", "d/.x"])), 7, 1.7e9))
    return made


def write(path: Path, members: list[Entry], tar_format: int) -> None:
    with tarfile.open(path, "w", format=tar_format, encoding="utf-8") as tar:
        for each in members:
            member = tarfile.TarInfo(each.name)
            member.size, member.mtime = each.size, each.time
            if each.link_to:
                member.type, member.linkname = tarfile.LNKTYPE, each.link_to
            try:
                tar.addfile(member, io.BytesIO(b"\xff" * each.size))
            except ValueError:
                assume(False)  # a name that USTAR cannot hold


def by_tarfile(path: Path) -> Found:
    """Group what tarfile finds in a whole tar, with the data of hard links."""
    files: dict[str, tuple[int, int]] = {}
    members = []
    with tarfile.open(path, encoding="utf-8") as tar:
        for member in tar:
            place = (member.offset_data, member.size)
            files[member.name] = files[member.linkname] if member.islnk() else place
            folder, slash, base = member.name.rpartition("/")
            key, dot, field = base.partition(".")
            if key and dot:
                members.append((folder + slash + key, field, files[member.name]))
    return [
        (key, {field: place for _, field, place in group})
        for key, group in groupby(members, key=lambda each: each[0])
    ]


def end_of_members(path: Path) -> int:
    """Offset of the first end mark."""
    with tarfile.open(path) as tar:
        return max((tar.offset for _ in tar), default=0)


def found(shard: Shard) -> Found:
    return list(zip(shard.keys, shard.members, strict=True))


def has_a_field_twice(members: list[Entry]) -> bool:
    """Tell whether the same sample, not two of the same key, has a field twice."""
    names = [each.name for each in members if each.name.rpartition("/")[2].partition(".")[0]]
    of_samples = [name for name in names if "." in name.rpartition("/")[2]]
    folders_and_keys = groupby(
        of_samples, key=lambda name: name[: name.index(".", name.rfind("/") + 1)]
    )
    groups = [list(group) for _, group in folders_and_keys]
    return any(len(set(group)) < len(group) for group in groups)


@settings(max_examples=150)
@given(entries(), FORMATS, st.integers(1, 20))
def test_a_whole_tar_has_the_samples_that_tarfile_finds(
    tmp_path: Path, members: list[Entry], tar_format: int, blocks: int
) -> None:
    path = tmp_path / "a.tar"
    write(path, members, tar_format)
    samples = by_tarfile(path)
    path.write_bytes(path.read_bytes()[: end_of_members(path)] + bytes(512 * blocks))
    try:
        shard = open_shard(path)
    except DataError as error:
        assert "occurs twice" in str(error) and has_a_field_twice(members)
    else:
        assert found(shard) == samples


def damage(data: st.DataObject, content: bytes) -> bytes:
    """Cut a tar, or make a hole, or change what follows its end."""
    at = data.draw(st.integers(0, len(content)), label="at")
    if data.draw(st.booleans(), label="at a block"):
        at -= at % tarfile.BLOCKSIZE
    length = data.draw(st.sampled_from([1, 100, 512, 1024, 5_000, len(content)]), label="length")
    match data.draw(st.sampled_from(["cut", "hole", "insert", "append", "join"]), label="kind"):
        case "cut":
            return content[:at]
        case "hole":
            return (content[:at] + bytes(length) + content[at + length :])[: len(content)]
        case "insert":
            return content[:at] + bytes(512 * -(-length // 512)) + content[at:]
        case "append":
            return content + bytes(at % 3000) + b"x" * (length % 999)
        case _:
            return content + content


@settings(max_examples=300)
@given(entries(), FORMATS, st.data())
def test_a_damaged_tar_never_has_fewer_samples_in_silence(
    tmp_path: Path, members: list[Entry], tar_format: int, data: st.DataObject
) -> None:
    """All samples are found, or the shard is refused.

    Where all that is lost is a last part no longer than padding, a tar with one more sample and
    one with fewer are the same bytes: nothing can tell them apart.
    """
    path = tmp_path / "a.tar"
    write(path, members, tar_format)
    assume(not has_a_field_twice(members))
    whole, content = by_tarfile(path), path.read_bytes()
    damaged = damage(data, content)
    path.write_bytes(damaged)
    try:
        shard = open_shard(path)
    except DataError:
        return
    rest = damaged[end_of_members(path) :]
    assert not any(rest)  # what joined or garbled tars hold beyond their end
    if found(shard) != whole:
        assert len(rest) < PADDING + tarfile.BLOCKSIZE or shard.passed_over
        assert found(shard) == whole[: len(shard)] or is_a_part(found(shard), whole)


def is_a_part(some: Found, whole: Found) -> bool:
    """Tell whether only the last sample lacks fields."""
    *first, (key, fields) = some
    last_key, last_fields = whole[len(first)]
    return first == whole[: len(first)] and key == last_key and fields.items() < last_fields.items()
