"""What tables call the runs of a plan, whatever their records say."""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

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

    @classmethod
    def of(cls, plan: Plan) -> "Names":
        first = {id(run.recipe): run for run in plan.runs}  # parents share trials
        return cls(
            encoders=encoders_of(plan),
            finetune_settings=setting_names(plan.of("finetune"), plan.tuned),
            settings=label_columns(run.columns for run in first.values()),
            tuned=plan.tuned,
            choose=plan.choose,
        )

    @cached_property
    def digest(self) -> str:
        """Stands for all of it."""
        encoders = [(key, asdict(encoder)) for key, encoder in self.encoders.items()]
        rest = (asdict(self.finetune_settings), self.settings, self.tuned, self.choose)
        return hashlib.sha256(json.dumps([encoders, rest], sort_keys=True).encode()).hexdigest()


def run_ids(plan: Plan, cache: RecordCache) -> list[str]:
    """List the ids of all runs, in the order of the plan.

    The recipes of 40,000 runs are 1,500 trials on 27 parents. To look at each once and to remember
    the ids takes a tenth of the time that hashing every run takes.
    """
    seen: dict[int, int] = {}
    texts: list[str] = []
    places = array("l")
    for run in plan.runs:
        place = seen.setdefault(id(run.recipe), len(texts))
        if place == len(texts):
            texts.append(f"{type(run.recipe).__name__} {run.recipe.model_dump_json()}")
        places.append(place)
    parents = [run.id for run in plan.of("pretrain")]
    children = Counter(map(_parent, plan.runs))
    key = key_of("ids", texts, parents, list(children.values()), places.tobytes())
    found: list[str] | None = cache.get(key)
    if found is None:
        found = [run.id for run in plan.runs]
        cache.put(key, found)
    return found


def _parent(run: Run) -> int:
    return id(run.parents[0]) if run.parents else 0
