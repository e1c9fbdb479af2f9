"""What a method needs stands on its recipe class, and one table names its objective."""

from typing import Literal

from hpc_xfer.compute.models import encoders, flops
from hpc_xfer.compute.pretraining.objectives import OBJECTIVES
from hpc_xfer.config.recipes import METHODS, Clip, Trained
from tests import tiny


class CaptionMethod(Clip):
    """A method that nothing outside of this test knows."""

    method: Literal["caption_method"] = "caption_method"  # type: ignore[assignment]


def test_every_method_that_trains_has_an_objective() -> None:
    training = {name for name, recipe in METHODS.items() if issubclass(recipe, Trained)}
    assert OBJECTIVES.keys() == training


def test_a_method_is_called_as_its_recipe_says() -> None:
    assert {name: recipe.model_fields["method"].default for name, recipe in METHODS.items()} == {
        name: name for name in METHODS
    }


def test_a_method_built_on_another_counts_its_text_tower_too() -> None:
    clip = Clip(arch=tiny.ARCH, source="sans", samples=2000, samples_seen=2000)
    other = CaptionMethod.model_validate(clip.model_dump(exclude={"method"}))
    towers = encoders.build(tiny.ARCH, 0, with_text=other.uses_text)
    assert towers.text is not None
    assert flops.per_sample(other, towers) == flops.per_sample(clip, towers)
    assert other.target == clip.target
