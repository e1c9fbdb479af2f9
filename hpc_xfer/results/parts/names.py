"""What tables call the runs of a plan, whatever their records say."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

from hpc_xfer.config.protocols import Choose
from hpc_xfer.results.cells import differing_settings
from hpc_xfer.results.encoder_info import EncoderInfo, EncoderKey, encoders_of
from hpc_xfer.study.labels import label_columns
from hpc_xfer.study.plan import Plan


@dataclass(frozen=True)
class Names:
    """The encoders and settings of a plan; every part of it is read with them."""

    encoders: Mapping[EncoderKey, EncoderInfo]
    differing: Mapping[str, Sequence[str]]  # mode -> settings that tell its cells apart
    settings: Sequence[str]  # all settings that a run has, in their order in runs.csv
    tuned: Sequence[str]
    choose: Choose

    @classmethod
    def of(cls, plan: Plan) -> "Names":
        first = {id(run.recipe): run for run in plan.runs}  # parents share trials
        return cls(
            encoders=encoders_of(plan),
            differing=differing_settings(plan.of("finetune")),
            settings=label_columns(run.columns for run in first.values()),
            tuned=plan.tuned,
            choose=plan.choose,
        )

    @cached_property
    def digest(self) -> str:
        """Stands for all of it."""
        encoders = [(key, asdict(encoder)) for key, encoder in self.encoders.items()]
        rest = (self.differing, self.settings, self.tuned, self.choose)
        return hashlib.sha256(json.dumps([encoders, rest], sort_keys=True).encode()).hexdigest()
