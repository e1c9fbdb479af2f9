"""Tell who else may write to a file or folder: what a store holds is run or trusted by its jobs.

    writer = other_writer(os.lstat(path), path)      # None, "everybody", "group lab" or "user bob"

A group that has the name of the owner is his own (Debian, Red Hat): nobody else is in it, and a
umask of 002 is harmless there. The access list of a file counts too (setfacl).
"""

import os
import stat
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_OTHERS = 0o022  # write, for the group and everybody
_EVERYBODY = 0o002
_ACCESS_LIST = "system.posix_acl_access"
_USER, _OWN_GROUP, _GROUP, _MASK = 0x02, 0x04, 0x08, 0x10  # entries of an access list
_WRITE = 2

_withheld = _OTHERS  # from files that this process makes
_given_umask: int | None = None  # of the user, once a command has changed it


def withhold_writing() -> None:
    """Make files of this process, and of those that it starts, writable for nobody else."""
    global _given_umask
    _given_umask = os.umask(_OTHERS)
    os.umask(_given_umask | _OTHERS)


def let_members_write(allowed: bool) -> None:
    """Let the group write to new files, as far as the umask of the user does; or nobody."""
    global _withheld
    _withheld = _EVERYBODY if allowed else _OTHERS
    if _given_umask is not None:
        os.umask(_given_umask | _withheld)


def allowed_mode(mode: int) -> int:
    """Take the right to write from the mode of a new file; a default access list has no umask."""
    return mode & ~_withheld


def other_writer(
    found: os.stat_result, path: Path | str | int | None = None, members: bool = False
) -> str | None:
    """Name who may write besides this user and root; None where nobody may.

    The owner may always: permissions of his do not bind him.

    Args:
        path: of the file, or its handle: its access list is read where it has one.
        members: other owners and groups are welcome, "everybody" never is.
    """
    if found.st_mode & stat.S_IWOTH:
        return "everybody"
    if members:
        return None
    if found.st_uid not in (0, os.geteuid()):
        return f"user {_user(found.st_uid)}"
    return writer_beside_owner(found, path)


def writer_beside_owner(found: os.stat_result, path: Path | str | int | None = None) -> str | None:
    """Name who may write besides the owner, whoever that is, and root."""
    if found.st_mode & stat.S_IWOTH:
        return "everybody"
    if not found.st_mode & stat.S_IWGRP:  # which bounds an access list, too
        return None
    entries = _access_list(path)
    if not entries:
        return _writing_group(found.st_gid, found.st_uid)
    return next(_writers(entries, found), None)


def may_be_replaced(folder: os.stat_result, members: bool = False) -> str | None:
    """Name who else may rename what lies in a folder; in a sticky one its owner alone may."""
    if folder.st_mode & stat.S_ISVTX and folder.st_uid in (0, os.geteuid()):
        return None
    return other_writer(folder, members=members)


def group_name(gid: int) -> str:
    """Name a group, by its number where it has no name."""
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _writing_group(gid: int, owner: int) -> str | None:
    return None if _is_private_group(gid, owner) else f"group {group_name(gid)}"


def _writers(entries: list[tuple[int, int, int]], found: os.stat_result) -> Iterator[str]:
    """Yield who may write by an access list; its mask bounds all but the owner."""
    mask = next((rights for tag, rights, _ in entries if tag == _MASK), 7)
    for tag, rights, number in entries:
        if not rights & mask & _WRITE:
            continue
        if tag == _USER and number not in (0, found.st_uid, os.geteuid()):
            yield f"user {_user(number)}"
        if tag in (_GROUP, _OWN_GROUP):
            gid = found.st_gid if tag == _OWN_GROUP else number
            if (group := _writing_group(gid, found.st_uid)) is not None:
                yield group


def _access_list(path: Path | str | int | None) -> list[tuple[int, int, int]]:
    """Read the entries (tag, rights, number) of an access list; none where a file has none."""
    if path is None:
        return []
    try:
        data = os.getxattr(path, _ACCESS_LIST)
        return list(struct.iter_unpack("<HHI", data[4:]))
    except (OSError, struct.error):
        return []


@cache
def _is_private_group(gid: int, uid: int) -> bool:
    """True for root's group, and for one with the name of its only member."""
    import grp
    import pwd

    if gid == 0:
        return True
    try:
        group, owner = grp.getgrgid(gid), pwd.getpwuid(uid)
    except KeyError:
        return False
    return (
        group.gr_name == owner.pw_name
        and owner.pw_gid == gid
        and set(group.gr_mem) <= {owner.pw_name}
    )


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
