"""Keep what the variables of a site file were at a launch, for the jobs of this user alone.

    write(store, "study", site.variables)    # at the launch
    load_site(path, read(store, "study"))    # in its jobs: the same site, whatever their nodes set

Values may be secrets: only its owner may read the file, and one of somebody else is refused.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from hpc_xfer.config.site import Site, load_site
from hpc_xfer.errors import StoreError
from hpc_xfer.store.paths import StoreDir
from hpc_xfer.store.store import Store
from hpc_xfer.system import atomic_files
from hpc_xfer.system.atomic_files import OddFile
from hpc_xfer.system.limits import bounded_json
from hpc_xfer.system.permissions import other_writer
from hpc_xfer.system.private_file import write_private

_MOST = 1 << 20  # bytes; the kernel takes 2 MB of environment for a process by default

Variables = Mapping[str, str | None]  # None: not set


def write(store: StoreDir, study: str, variables: Variables) -> None:
    """Write them beside those of earlier launches, whose jobs may have another site file.

    Raises:
        StoreError: the file cannot be written, or is not this user's.
    """
    if not variables:
        return
    path = store.study(study).site_variables(os.geteuid())
    data = json.dumps({**read(store, study), **variables}, sort_keys=True).encode()
    try:
        atomic_files.make_folder(path.parent)
        write_private(path, data)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}); free space or fix the "
            "permissions, then try again"
        ) from error


def read(store: StoreDir, study: str) -> dict[str, str | None]:
    """Read what this user's launches wrote; empty where their site files name no variable.

    Raises:
        StoreError: others may have written the file, or it is damaged.
    """
    path = store.study(study).site_variables(os.geteuid())
    try:
        with open(atomic_files.open_plainly(path), "rb", buffering=0) as file:
            writer = other_writer(os.fstat(file.fileno()))
            if writer is not None:
                raise OddFile(f"{writer} may write to it")
            content = bounded_json.parse(file.read(_MOST))
    except FileNotFoundError:
        return {}
    except (OddFile, bounded_json.UnfitJson) as odd:
        raise _refusal(path, str(odd)) from None
    except OSError as error:
        raise _refusal(path, f"cannot be read ({error.strerror})") from None
    if not isinstance(content, dict) or not all(
        value is None or isinstance(value, str) for value in content.values()
    ):
        raise _refusal(path, "holds no variables")
    return content


def store_and_site(root: Path, study: str, site_file: Path | None) -> tuple[Store, Site]:
    """Open the store of a job, and read the site file as its launch did.

    Raises:
        StoreError: as `read`.
        StudyError: the site file has errors.
    """
    site = load_site(site_file, read(StoreDir(root), study))
    return Store(root, site.trust_store_members), site


def _refusal(path: Path, why: str) -> StoreError:
    return StoreError(f"{path}: {why}; remove it, then launch the study again")
