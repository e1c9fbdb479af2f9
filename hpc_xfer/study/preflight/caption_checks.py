"""Check that sources have the keys of json that captions and labels are read from."""

import shlex
from collections.abc import Iterator, Mapping

from hpc_xfer.config.own_datasets.words_or_codes import are_words
from hpc_xfer.config.recipes import ImageText, Trained
from hpc_xfer.config.schema import nearest
from hpc_xfer.config.shard_index import ShardIndex, index_command

_MOST_KEYS = 10  # of a json, in a message


def caption_key_errors(recipe: Trained, name: str, index: ShardIndex) -> Iterator[tuple[str, str]]:
    """Refuse captions of which a source has no key."""
    targets = recipe.targets_of(name)
    for target in targets:
        keys = set(target.caption_keys)
        if keys and index.json_keys and not keys.intersection(index.json_keys):
            what = f"none of these keys is in the json of {name!r}"
            if len(targets) > 1:
                what = f"the key {target.caption_keys[0]!r} is not in the json of {name!r}"
            own = f", or give it captions of its own (`by_source: {{{name}: ...}}`)"
            way = f"name some of: {_listed(index.json_keys)}"
            yield "caption", f"{what}; {way}{own if _is_shared(recipe) else ''}"


def unknown_caption_keys(
    recipe: Trained, indexes: Mapping[str, ShardIndex]
) -> Iterator[tuple[str, str]]:
    """Refuse a key that is joined with others and that no source of the recipe has.

    An older index does not count texts, and lists the keys of the first samples alone.
    """
    readers: dict[str, list[str]] = {}
    for name in indexes:
        for target in recipe.targets_of(name):
            there = set(target.caption_keys).intersection(indexes[name].json_keys)
            for key in target.caption_keys if there else ():
                readers.setdefault(key, []).append(name)
    for key, names in readers.items():
        if all(indexes[name].texts and key not in indexes[name].json_keys for name in names):
            known = {each for name in names for each in indexes[name].json_keys}
            told = " or ".join(map(repr, names))
            hint = nearest(key, known, "its keys are")
            yield "caption", f"no sample of {told} has the key {key!r} in its json; {hint}"


def codes_in_captions(recipe: Trained, name: str, index: ShardIndex) -> Iterator[str]:
    """Say that captions hold codes for class names, as in `a photo of a n01440764.`"""
    templates = [text for target in recipe.targets_of(name) for text in target.templates]
    if templates and index.classes and not are_words(index.classes):
        example = templates[0].replace("{}", index.classes[0])
        yield (
            f"its classes are called by numbers or codes, so captions are {example!r}; name them, "
            f"in the order of labels, in {index.folder / 'classes.json'} and run {index.command}"
        )


def label_key_errors(recipe: Trained, name: str, index: ShardIndex) -> Iterator[tuple[str, str]]:
    """Refuse labels from a key that is not the one that the index took classes from."""
    keys_of_labels = {each.label_key for each in recipe.targets_of(name)} - {None, index.label_key}
    for key in map(str, keys_of_labels if index.classes else ()):
        if index.texts and key not in index.json_keys:  # an older index does not list all
            yield "label", f"{name!r}: {_no_key(key, index)}"
            continue
        yield (
            "label",
            f"the index of {name!r} does not take its classes from the json key {key!r}; run "
            f"{index_command(index.folder, index.pattern)} with --label-key {shlex.quote(key)}",
        )


def labels_instead(recipe: Trained, name: str, index: ShardIndex) -> str:
    """Say how to read labels from where a source has them; "" if that is not known."""
    labels = [target for target in recipe.targets_of(name) if target.is_label]
    if not labels or (index.classes and labels[0].field in index.fields):
        return ""  # something else is missing
    key = labels[0].label_key
    if key is None and index.label_key is not None:
        return f"read them from its json by `label: {index.label_key}`"
    if key is not None and index.classes and index.label_key is None:
        return "its labels are in the field cls, which is read without `label`; remove it"
    if key in index.json_keys:
        command = index_command(index.folder, index.pattern, key)
        return f"if they are under the key {key!r} of its json, run {command}"
    return _no_key(key, index) if key is not None and index.texts else ""


def _no_key(key: str, index: ShardIndex) -> str:
    return f"its json has no key {key!r}; {nearest(key, index.json_keys, 'its keys are')}"


def keys_instead(recipe: Trained, name: str, index: ShardIndex) -> str:
    """Say how to read captions from the json of a source that has no txt; "" if it has none."""
    fields = {target.field for target in recipe.targets_of(name)} - set(index.fields)
    if fields != {"txt"} or not index.texts:
        return ""
    keys = _listed([key for key, _ in index.texts])
    example = (
        "{keys: ...}" if len(recipe.shares) == 1 else f"{{by_source: {{{name}: {{keys: ...}}}}}}"
    )
    return f"read them from keys of its json by `caption: {example}`; they are: {keys}"


def _is_shared(recipe: Trained) -> bool:
    """Tell whether the sources of a mixture have one place of captions."""
    caption = recipe.caption if isinstance(recipe, ImageText) else None
    return len(recipe.shares) > 1 and (caption is None or caption.by_source is None)


def _listed(keys: "list[str] | tuple[str, ...]") -> str:
    return ", ".join(keys[:_MOST_KEYS]) + (", ..." if len(keys) > _MOST_KEYS else "")
