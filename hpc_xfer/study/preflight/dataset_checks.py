"""Check the data sets of a study: each is there, is what it claims to be, and fits its use."""

from collections.abc import Iterator, Mapping
from typing import Any

from hpc_xfer.config import downstream_datasets
from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.config.schema import ConfigError
from hpc_xfer.config.site import Site
from hpc_xfer.config.yaml_document import Loc
from hpc_xfer.errors import XferError
from hpc_xfer.study.study_file import Study


def dataset_errors(
    study: Study, site: Site, infos: dict[str, DatasetInfo | str]
) -> Iterator[ConfigError]:
    """Check data sets and shots, and fill `infos`: a large folder is listed once."""
    for here, block in _blocks(study):
        for i, name in enumerate(block["datasets"]):
            if name not in infos:
                infos[name] = info = _info(name, site)
                if isinstance(info, str):  # reported once for all blocks
                    yield (*here, "datasets", i), info


def probe_errors(study: Study, site: Site) -> Iterator[ConfigError]:
    probe = study.resources.pretrain.probe
    if probe is not None and isinstance(error := _info(probe.dataset, site), str):
        yield ("resources", "pretrain", "probe", "dataset"), error


def dataset_notes(study: Study, infos: Mapping[str, DatasetInfo]) -> Iterator[str]:
    """Yield a sentence on each thing in data sets that is left out, or is odd."""
    yield from (f"data set {info.name!r}: {note}" for info in infos.values() for note in info.notes)


def _blocks(study: Study) -> list[tuple[Loc, dict[str, Any]]]:
    """List the blocks of `finetune` with their key paths."""
    blocks = study.document.data.get("finetune", [])
    if isinstance(blocks, dict):
        return [(("finetune",), blocks)]
    return [(("finetune", i), block) for i, block in enumerate(blocks or [])]


def _info(name: str, site: Site) -> DatasetInfo | str:
    """Return the info of a data set, or say what is wrong with it."""
    try:
        info = downstream_datasets.dataset_info(name, site.dataset(name))
    except XferError as error:
        return str(error)
    if len(info.classes) == 1:
        return f"{name} has one class, {info.classes[0]!r}; add another or name another data set"
    return info
