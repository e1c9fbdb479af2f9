"""Raise the limit of open files of this process, as far as the system lets a user."""

import resource

_ENOUGH = 65_536  # some programs close every number below the limit when they start


def raise_limit(enough: int = _ENOUGH) -> None:
    """Raise the soft limit to `enough`, or to the hard limit; children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = enough if hard == resource.RLIM_INFINITY else min(enough, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
