"""Tell who else may write to a file or folder: what a store holds is run or trusted by its jobs.

    writer = other_writer(os.lstat(path))      # None, "everybody", "group lab" or "user bob"

A group that has the name of the owner is his own (Debian, Red Hat): nobody else is in it, and a
umask of 002 is harmless there.
"""

import os
import stat
from functools import cache


def other_writer(found: os.stat_result) -> str | None:
    """Name who may write besides this user and root; None where nobody may.

    The owner may always: permissions of his do not bind him.
    """
    if found.st_mode & stat.S_IWOTH:
        return "everybody"
    if found.st_uid not in (0, os.geteuid()):
        return f"user {_user(found.st_uid)}"
    if found.st_mode & stat.S_IWGRP and not _is_private_group(found.st_gid, found.st_uid):
        return f"group {_group(found.st_gid)}"
    return None


def may_be_replaced(folder: os.stat_result) -> str | None:
    """Name who else may rename what lies in a folder; in a sticky one its owner alone may."""
    if folder.st_mode & stat.S_ISVTX and folder.st_uid in (0, os.geteuid()):
        return None
    return other_writer(folder)


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


def _group(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
