"""Find the control groups around this process, whose limits a job or a container gets."""

from collections.abc import Iterator
from pathlib import Path


def own_groups(controller: str, root: Path = Path("/")) -> Iterator[tuple[Path, Path, int]]:
    """Yield the folder of each control group of this process, that of the top, and the version.

    Args:
        controller: such as "memory".
        root: of the file system; another one in tests.
    """
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            top, version = root / "sys/fs/cgroup", 2
        elif controller in kinds.split(","):
            top, version = root / "sys/fs/cgroup" / controller, 1
        else:
            continue
        yield top / path.lstrip("/"), top, version


def control_groups(controller: str, root: Path = Path("/")) -> Iterator[tuple[Path, int]]:
    """Yield the folder of each control group around this process, and its version, 1 or 2.

    Args: as `own_groups`.
    """
    for group, top, version in own_groups(controller, root):
        # The path may be that outside the container, where nothing is mounted here.
        for folder in dict.fromkeys((group, *group.parents, top)):
            if folder == top or top in folder.parents:
                yield folder, version


def text_of(path: Path) -> str:
    """Read a file of the kernel; "" where there is none."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
