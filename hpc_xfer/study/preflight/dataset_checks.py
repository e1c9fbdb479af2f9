"""Check the data sets of a study: each is there, is what it claims to be, and fits its use."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from hpc_xfer.config import downstream_datasets
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.config.own_datasets.remarks import remarks, zero_shot_refusal
from hpc_xfer.config.schema import ConfigError
from hpc_xfer.config.site import Site
from hpc_xfer.config.yaml_document import Loc
from hpc_xfer.errors import XferError
from hpc_xfer.study.study_file import Study


def dataset_errors(
    study: Study, site: Site, infos: dict[str, DatasetInfo | str]
) -> Iterator[ConfigError]:
    """Check data sets and shots, and fill `infos`: a large folder is listed once."""
    wanted = {trial.dataset for trial in study.trials}
    for here, block in _blocks(study):
        for i, name in enumerate(block["datasets"]):
            if name not in wanted:
                continue
            if name not in infos:
                infos[name] = info = _with_copies(_info(name, site), site.dataset(name))
                if isinstance(info, str):  # reported once for all blocks
                    yield (*here, "datasets", i), info
            found = infos[name]
            if isinstance(found, str) or "zeroshot" not in block.get("mode", ()):
                continue
            if why := zero_shot_refusal(found):
                yield (*here, "datasets", i), why


def probe_errors(study: Study, site: Site) -> Iterator[ConfigError]:
    probe = study.resources.pretrain.probe
    if probe is not None and isinstance(error := _info(probe.dataset, site), str):
        yield ("resources", "pretrain", "probe", "dataset"), error


def dataset_notes(study: Study, infos: Mapping[str, DatasetInfo]) -> Iterator[str]:
    """Yield a sentence on each thing in data sets that is left out, or is odd."""
    for info in infos.values():
        yield from (f"data set {info.name!r}: {note}" for note in (*info.notes, *remarks(info)))


def _blocks(study: Study) -> list[tuple[Loc, dict[str, Any]]]:
    """List the blocks of `finetune` with their key paths."""
    blocks = study.document.data.get("finetune", [])
    if isinstance(blocks, dict):
        return [(("finetune",), blocks)]
    return [(("finetune", i), block) for i, block in enumerate(blocks or [])]


def _with_copies(info: DatasetInfo | str, place: Location | None) -> DatasetInfo | str:
    """Add a note on images that are there twice, as far as it is cheap to see."""
    if isinstance(info, str) or place is None:
        return info
    return replace(info, notes=(*info.notes, *downstream_datasets.copies_in(info.name, place)))


def _info(name: str, site: Site) -> DatasetInfo | str:
    """Return the info of a data set, or say what is wrong with it."""
    try:
        return downstream_datasets.dataset_info(name, site.dataset(name))
    except XferError as error:
        return str(error)
