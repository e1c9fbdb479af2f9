"""Captions and labels of training images: what a recipe asks for, and where samples hold it.

caption: {keys: [title, tags]}                        # of the json, joined
caption: {templates: ["a photo of a {}."]}            # around the class name
caption: {mix: {txt: 0.5, blip: 0.5}}                 # per sample and epoch one is drawn
caption: {mix: {txt: 3, templates: 1}, templates: [...]}
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import field_validator, model_validator

from hpc_xfer.config.schema import Name, PositiveInt, StrictModel
from hpc_xfer.config.training_data.mixture import whole_shares

TXT, TEMPLATES = "txt", "templates"  # kinds of a mix; all others are keys of the json


class Caption(StrictModel):
    """The place of captions, if not the field txt."""

    keys: tuple[str, ...] | None = None  # of the field json; their texts are joined
    templates: tuple[str, ...] | None = None  # "a photo of a {}." with the class; one is drawn
    mix: dict[Name, PositiveInt] | None = None  # kinds and their shares; one is drawn

    @field_validator("keys", mode="before")
    @classmethod
    def _one_key(cls, keys: Any) -> Any:
        if isinstance(keys, str):
            return (keys,)
        return tuple(keys) if isinstance(keys, list) else keys

    @field_validator("mix", mode="before")
    @classmethod
    def _whole(cls, mix: Any) -> Any:
        if not isinstance(mix, dict):
            return mix
        shares = whole_shares(mix)
        if len(shares) == 1:
            raise ValueError("mixes one kind of captions; name a second one, or write it alone")
        return shares

    @model_validator(mode="after")
    def _one_of_them(self) -> "Caption":
        if self.mix is not None:
            if self.keys:
                raise ValueError("keys cannot stand beside mix; move them into mix")
            if (TEMPLATES in self.mix) != bool(self.templates):
                raise ValueError(
                    "templates and the share `templates` of mix need each other; give both"
                )
        elif bool(self.keys) == bool(self.templates):
            raise ValueError(
                "give either keys (of the json) or templates (sentences), not both or neither"
            )
        for template in self.templates or ():
            if template.count("{}") != 1:
                raise ValueError(
                    f"{template!r} must contain {{}} exactly once, where the class name goes"
                )
        return self


@dataclass(frozen=True)
class Target:
    """The caption or class label of a training image, and where a sample holds it."""

    field: str  # txt, json or cls
    caption_keys: tuple[str, ...] = ()  # of the json; the texts under them are joined
    templates: tuple[str, ...] = ()  # captions are one of these around the class name
    is_label: bool = False  # the field holds a class label
    label_key: str | None = None  # of the json
    share: int = 1  # of the draws, where captions are mixed

    def missing_from(self, fields: Sequence[str], classes: Sequence[str] | None) -> str | None:
        """Name what a source with these fields and classes lacks; None if it lacks nothing."""
        if self.field in fields and (classes or not self.is_label):
            return None
        if self.is_label:
            return f"labels ({self.field})"
        return "json with captions" if self.field == "json" else f"captions ({self.field})"

    @property
    def part(self) -> str:
        """The part of a sample that it needs, as the index counts what is odd."""
        return "label" if self.is_label else self.field


def label_target(key: str | None, templates: tuple[str, ...] = (), share: int = 1) -> Target:
    field = "cls" if key is None else "json"
    return Target(field, templates=templates, is_label=True, label_key=key, share=share)


def caption_targets(caption: Caption | None, label: str | None) -> tuple[Target, ...]:
    """List where captions are: one place, or one for each kind of a mix."""
    if caption is None:
        return (Target("txt", label_key=label),)
    if caption.mix is not None:
        return tuple(_mixed(caption.mix, caption.templates or (), label))
    if caption.keys:
        return (Target("json", caption_keys=caption.keys, label_key=label),)
    return (label_target(label, caption.templates or ()),)


def _mixed(mix: dict[str, int], templates: tuple[str, ...], label: str | None) -> Iterator[Target]:
    for kind, share in mix.items():
        if kind == TEMPLATES:
            yield label_target(label, templates, share)
        elif kind == TXT:
            yield Target("txt", label_key=label, share=share)
        else:
            yield Target("json", caption_keys=(kind,), label_key=label, share=share)
