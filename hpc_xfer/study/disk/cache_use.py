"""Count what the cache of a store takes: decoded images, and features of encoders left as they are.

    use = CacheUse()
    use.add(plan, costs)
    use.bytes, use.files

It may be deleted between runs (see docs/store.md); until then it takes more than all encoders of a
large study.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hpc_xfer.config.finetune_recipes import Finetune, FullFinetune, ZeroShot
from hpc_xfer.study.architecture_costs import TowerCosts, tower_costs
from hpc_xfer.study.cost_estimate import ASSUMED, RunCosts
from hpc_xfer.study.plan import Plan, Run, parent_recipe

_FLOAT = 4  # bytes of a number of a feature
_CHANNELS = 3  # bytes of a pixel
_ARRAY_FILES = 4  # folder, array, folder of its writers, the writer
_Key = tuple[str | int | None, ...]


@dataclass
class CacheUse:
    """Bytes of the arrays so far; one that several runs or plans share counts once."""

    _views: dict[_Key, int] = field(default_factory=dict)
    _features: dict[_Key, int] = field(default_factory=dict)
    _seen: dict[_Key, Finetune] = field(default_factory=dict)  # kept, so that ids stay theirs

    @property
    def bytes(self) -> int:
        return self.image_bytes + self.feature_bytes

    @property
    def image_bytes(self) -> int:
        return sum(self._views.values())

    @property
    def feature_bytes(self) -> int:
        return sum(self._features.values())

    @property
    def files(self) -> int:
        return _ARRAY_FILES * (len(self._views) + len(self._features))

    def add(self, plan: Plan, costs: RunCosts) -> None:
        """Add the arrays that the fine-tunings of a plan make."""
        for run in plan.of("finetune"):
            key = (id(run.recipe), run.parents[0].id)
            if key not in self._seen:
                assert isinstance(run.recipe, Finetune)
                self._seen[key] = run.recipe
                self._add(run, run.recipe, tower_costs(parent_recipe(run).arch), costs)

    def _add(self, run: Run, recipe: Finetune, tower: TowerCosts, costs: RunCosts) -> None:
        counts = costs.images.get(recipe.dataset, ASSUMED)
        keeps = set(_features_kept(recipe))
        image = _CHANNELS * tower.side**2
        parts = {"train": counts.train, "test": counts.test + counts.val}
        for part, number in parts.items():
            if part in keeps:
                place = run.parents[0].id, recipe.snapshot, recipe.dataset, recipe.precision, part
                self._features[place] = _FLOAT * tower.features * number
            is_read = part == "test" or part in keeps
            # Those that are in memory anyway, and small enough to stay there, are not cached.
            if is_read and (counts.in_files or number * image > costs.speed.kept_bytes):
                self._views[recipe.dataset, tower.side, part] = number * image


def _features_kept(recipe: Finetune) -> Iterator[str]:
    """Yield the parts of a data set, of which all features are kept."""
    if isinstance(recipe, FullFinetune) and recipe.mode == "ft":
        if recipe.shots == "full":
            yield "train"  # they scale its head
        return
    if not isinstance(recipe, ZeroShot):
        yield "train"
    if not isinstance(recipe, FullFinetune):
        yield "test"
