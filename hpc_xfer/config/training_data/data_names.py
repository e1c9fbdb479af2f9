"""Name the training images of a recipe for tables."""

import re

from hpc_xfer.config.recipes import ImageText, Pretrain, Trained
from hpc_xfer.config.training_data.captions import Caption, CaptionPlace
from hpc_xfer.config.training_data.mixture import shares_text

_PLAIN = re.compile(r"[\w.-]+")  # keys and sources that no sign of a name can be mistaken for


def data_names(recipe: Pretrain) -> dict[str, str]:
    """Name the source, selection and mixed captions of a recipe as tables show them."""
    if not isinstance(recipe, Trained):
        return {}
    names = {"source": recipe.source_name}
    if recipe.select is not None:
        names["select"] = recipe.select.text
    caption = recipe.caption if isinstance(recipe, ImageText) else None
    if caption is not None and (text := _caption(caption)):
        names["caption"] = text
    return names


def _caption(caption: Caption) -> str:
    """Name mixed captions, and those of each source; "" where only the whole value tells all."""
    if caption.by_source is None:
        return shares_text(caption.mix) if caption.mix and not caption.templates else ""
    texts = {name: _place(place) for name, place in caption.by_source.items()}
    is_plain = all(text and _PLAIN.fullmatch(name) for name, text in texts.items())
    return ", ".join(f"{name}: {text}" for name, text in texts.items()) if is_plain else ""


def _place(place: CaptionPlace) -> str:
    """Name the captions of a source: `title & tags` if joined, `blip+txt` if one is drawn."""
    if place.templates or not all(map(_PLAIN.fullmatch, (*(place.keys or ()), *(place.mix or ())))):
        return ""
    return shares_text(place.mix) if place.mix else " & ".join(place.keys or ())
