"""docs/store.md names each file and folder that a store has a path for."""

from pathlib import Path

import pytest

from hpc_xfer.store.paths import RunDir, StoreDir, StudyDir
from tests import pages

ROOT = Path("root")
MADE_OF_A_NAME = {
    RunDir: [RunDir(ROOT).snapshot(1).parent, RunDir(ROOT).rendezvous("<attempt>")],
    StudyDir: [StudyDir(ROOT).site_variables(0).with_name(".site_variables.<uid>.json")],
    StoreDir: [StoreDir(ROOT).decoded("x").parent, StoreDir(ROOT).dataset_words("x").parent],
}


@pytest.mark.parametrize("folder", [RunDir, StudyDir, StoreDir])
def test_the_page_names_each_file_of_a_folder(
    folder: "type[RunDir] | type[StudyDir] | type[StoreDir]",
) -> None:
    layout = pages.fences("docs/store.md", "text")[0]
    there = folder(ROOT)
    names = [name for name in dir(folder) if not name.startswith("_")]
    values = [getattr(there, name) for name in names]
    paths = [each for each in values if isinstance(each, Path) and each != ROOT]
    paths += MADE_OF_A_NAME[folder]
    assert paths
    assert [path.name for path in paths if path.name not in layout] == []
