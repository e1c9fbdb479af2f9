"""Read `caption` and `label` of a `pretrain` block where its runs differ in their sources.

A block may have several sources, and a default may be shared by blocks with other ones. Each run
takes what concerns its own sources; what concerns no run is refused.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hpc_xfer.config.recipes import METHODS, ImageText, Pretrain
from hpc_xfer.config.schema import ConfigError, format_value, nearest
from hpc_xfer.config.training_data.captions import Caption

_OF_CLASSES = "templates"


def sources_in(value: Any) -> set[str]:
    """Return the names of sources in a value of `source`: a name, a mixture, or a list of them."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        return set(value)
    return (
        {name for each in value for name in sources_in(each)} if isinstance(value, list) else set()
    )


def unused_captions(
    block: Mapping[str, Any], shared: set[str], sources: set[str]
) -> Iterator[ConfigError]:
    """Refuse captions of sources that no run reads, and a key of labels that no caption reads.

    Args:
        block: with a known method.
        shared: its keys that `defaults` or `set` gave, perhaps to other blocks too.
        sources: of all blocks.
    """
    known = sources if "caption" in shared else sources_in(block.get("source"))
    given = block.get("caption")
    for place, caption in enumerate(given if isinstance(given, list) else [given]):
        if not isinstance(caption, dict):
            continue
        if bare := [key for key in caption if key in known and key not in Caption.model_fields]:
            way = f"write `caption: {{by_source: {{{bare[0]}: ...}}}}`"
            yield ("caption",), f"has a key with the name of the source {bare[0]!r}; {way}"
        places = caption.get("by_source")
        for name in places if isinstance(places, dict) and known else ():
            if name not in known:
                at = ("caption", place) if isinstance(given, list) else ("caption",)
                hint = nearest(name, known, "they are")
                yield (*at, "by_source", name), f"is not a source of this block; {hint}"
    is_alone = block.get("label") is not None and not _has_key(given, _OF_CLASSES)
    if is_alone and "label" not in shared and issubclass(METHODS[block["method"]], ImageText):
        yield ("label",), "is read by captions from templates alone, and there are none; remove it"


def settle_captions(values: dict[str, Any]) -> None:
    """Leave out the captions of sources that this run does not read."""
    caption, mine = values.get("caption"), sources_in(values.get("source"))
    places = caption.get("by_source") if isinstance(caption, dict) else None
    if caption is not None and isinstance(places, dict) and places and mine:
        own = {name: place for name, place in places.items() if name in mine}
        values["caption"] = {**caption, "by_source": own} if own else None


def caption_errors(recipe: Pretrain) -> Iterator[ConfigError]:
    """Refuse a key that would be joined to itself, and one without a name."""
    targets = recipe.targets if isinstance(recipe, ImageText) else ()
    for key in dict.fromkeys(key for target in targets for key in target.caption_keys):
        if not key.strip():
            yield ("caption",), "has a key without a name; remove it"
        elif any(target.caption_keys.count(key) > 1 for target in targets):
            yield ("caption",), f"has the key {format_value(key)} twice; keep one"


def _has_key(value: Any, key: str) -> bool:
    if isinstance(value, dict):
        return key in value or any(_has_key(each, key) for each in value.values())
    return isinstance(value, list) and any(_has_key(each, key) for each in value)
