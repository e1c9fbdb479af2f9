"""Names that tables give to the runs of a plan, whatever their records say."""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from hpc_xfer.config.protocols import Choose
from hpc_xfer.results.cells import SettingNames, setting_names
from hpc_xfer.results.encoder_info import EncoderInfo, EncoderKey, encoders_of
from hpc_xfer.results.parts.record_cache import RecordCache, key_of
from hpc_xfer.study.labels import label_columns
from hpc_xfer.study.plan import Plan, Run


@dataclass(frozen=True)
class Names:
    """The encoders and settings of a plan; every part of it is read with them."""

    encoders: Mapping[EncoderKey, EncoderInfo]
    finetune_settings: SettingNames
    settings: Sequence[str]  # all settings that a run has, in their order in runs.csv
    tuned: Sequence[str]
    choose: Choose

    @cached_property
    def of_settings(self) -> frozenset[str]:
        """The same settings, to look one up."""
        return frozenset(self.settings)

    @cached_property
    def digest(self) -> str:
        """Stands for all of it."""
        encoders = [(key, asdict(encoder)) for key, encoder in self.encoders.items()]
        rest = (asdict(self.finetune_settings), self.settings, self.tuned, self.choose)
        return hashlib.sha256(json.dumps([encoders, rest], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class NamedPlan:
    """A plan with the ids of its runs and what tables call them."""

    runs: Sequence[Run]
    ids: Sequence[str]
    names: Names

    @classmethod
    def of(cls, plan: Plan, cache: RecordCache) -> "NamedPlan":
        """Name a plan.

        The recipes of 40,000 runs are 1,500 trials on 27 parents. To look at each once, and to
        remember the rest, takes a tenth of the time that hashing every run takes.
        """
        key = _digest(plan)
        told = cache.get("plan", key)
        if told is None:
            told = _told(plan)
            cache.put("plan", key, told)
        names = Names(
            encoders=encoders_of(plan),
            finetune_settings=SettingNames(plan.tuned, told["differing"], told["varying"]),
            settings=told["settings"],
            tuned=plan.tuned,
            choose=plan.choose,
        )
        return cls(plan.runs, told["ids"], names)


def _told(plan: Plan) -> dict[str, Any]:
    first = {id(run.recipe): run for run in plan.runs}
    found = setting_names(plan.of("finetune"), plan.tuned)
    return {
        "ids": [run.id for run in plan.runs],
        "differing": found.differing,
        "varying": found.varying,
        "settings": label_columns(run.columns for run in first.values()),
    }


def _digest(plan: Plan) -> str:
    """Stands for all runs of a plan, and for what it tunes."""
    seen: dict[int, int] = {}
    texts: list[str] = []
    places = array("l")
    for run in plan.runs:
        place = seen.setdefault(id(run.recipe), len(texts))
        if place == len(texts):
            texts.append(f"{type(run.recipe).__name__} {run.recipe.model_dump_json()}")
        places.append(place)
    parents = [run.id for run in plan.of("pretrain")]
    children = Counter(run.parents[0].id for run in plan.runs if run.parents)
    return key_of(texts, parents, list(children.items()), places.tobytes(), plan.tuned)
