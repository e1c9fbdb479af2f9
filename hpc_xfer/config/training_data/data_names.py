"""Name the training images of a recipe for tables."""

from hpc_xfer.config.recipes import ImageText, Pretrain, Trained
from hpc_xfer.config.training_data.mixture import shares_text


def data_names(recipe: Pretrain) -> dict[str, str]:
    """Name the source, selection and mixed captions of a recipe as tables show them."""
    if not isinstance(recipe, Trained):
        return {}
    names = {"source": recipe.source_name}
    if recipe.select is not None:
        names["select"] = recipe.select.text
    caption = recipe.caption if isinstance(recipe, ImageText) else None
    if caption is not None and caption.mix is not None and not caption.templates:
        names["caption"] = shares_text(caption.mix)
    return names
