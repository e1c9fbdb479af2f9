"""Captions and labels of training images: what a recipe asks for, and where samples hold it.

caption: {keys: [title, tags]}                        # of the json, joined
caption: {templates: ["a photo of a {}."]}            # around the class name
caption: {mix: {txt: 0.5, blip: 0.5}}                 # per sample and epoch one is drawn
caption: {mix: {txt: 3, templates: 1}, templates: [...]}
caption: {by_source: {imagenet: {keys: title}}}       # each source of a mixture its own; others txt
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, field_validator, model_validator

from hpc_xfer.config.schema import Name, PositiveInt, StrictModel, format_value, tupled
from hpc_xfer.config.training_data.mixture import whole_shares

TXT, TEMPLATES = "txt", "templates"  # kinds of a mix; all others are keys of the json


class CaptionPlace(StrictModel):
    """The place of captions in samples, if not the field txt."""

    keys: tuple[str, ...] | None = None  # of the field json; their texts are joined
    templates: tuple[str, ...] | None = None  # "a photo of a {}." with the class; one is drawn
    mix: dict[Name, PositiveInt] | None = None  # kinds and their shares; one is drawn

    @field_validator("keys", "templates", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return tupled(value) if isinstance(value, str | list) else value

    @field_validator("mix", mode="before")
    @classmethod
    def _whole(cls, mix: Any) -> Any:
        if mix is None:
            return None
        if not isinstance(mix, dict):
            raise ValueError(
                f"must be a share per kind of captions, got {format_value(mix)}; write "
                "{txt: 1, title: 1}, with keys of the json"
            )
        shares = whole_shares(mix)
        if len(shares) == 1:
            raise ValueError("mixes one kind of captions; name a second one, or write it alone")
        return shares

    @model_validator(mode="after")
    def _one_of_them(self) -> "CaptionPlace":
        return self.checked()

    def checked(self) -> "CaptionPlace":
        """Refuse parts that do not fit together.

        Raises:
            ValueError: there are two places, or none, or a template without its gap.
        """
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


def read_caption(value: Any) -> Any:
    """Read the word txt as None, the default; other words are told how to name a key.

    Raises:
        ValueError: it is another word.
    """
    if isinstance(value, str) and value != TXT:
        raise ValueError(
            f"must be txt or a mapping; for a key of the json, write {{keys: {value}}}"
        )
    return None if value == TXT else value


_PlaceOfOne = Annotated[CaptionPlace, BeforeValidator(read_caption)]


class Caption(CaptionPlace):
    """The key `caption` of a pre-training: one place, or one for each source of a mixture."""

    by_source: dict[Name, _PlaceOfOne] | None = None  # sources without one take the field txt

    @field_validator("by_source", mode="before")
    @classmethod
    def _txt_is_left_out(cls, places: Any) -> Any:
        """Sort them and leave out the field txt, so that one meaning is one run."""
        if not isinstance(places, dict):
            return places
        if not places:
            raise ValueError("names no source; write {imagenet: {keys: title}}, or remove it")
        return {name: places[name] for name in sorted(places) if places[name] not in (None, TXT)}

    @model_validator(mode="after")
    def _one_of_them(self) -> "Caption":
        if self.by_source is None:
            self.checked()
        elif self.keys or self.templates or self.mix is not None:
            raise ValueError("by_source stands alone; give each source its own keys or templates")
        return self

    def of(self, source: str) -> CaptionPlace | None:
        """Return where the captions of a source are; None for the field txt."""
        return self if self.by_source is None else self.by_source.get(source)

    def among(self, sources: Iterable[str]) -> "Caption | None":
        """Return what it means for these sources alone: one place if all have the same.

        Raises:
            ValueError: it names another source.
        """
        if self.by_source is None:
            return self
        names = list(sources)
        if other := [name for name in self.by_source if name not in names]:
            raise ValueError(f"by_source names {other[0]!r}, which is not a source here; remove it")
        first = self.of(names[0])
        if any(self.of(name) != first for name in names):
            return self
        return None if first is None else Caption.model_validate(first.model_dump())


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


def caption_targets(caption: CaptionPlace | None, label: str | None) -> tuple[Target, ...]:
    """List where captions are: one place, or one for each kind of a mix."""
    if caption is None:
        return (Target("txt"),)
    if caption.mix is not None:
        return tuple(_mixed(caption.mix, caption.templates or (), label))
    if caption.keys:
        return (Target("json", caption_keys=caption.keys),)
    return (label_target(label, caption.templates or ()),)


def _mixed(mix: dict[str, int], templates: tuple[str, ...], label: str | None) -> Iterator[Target]:
    for kind, share in mix.items():
        if kind == TEMPLATES:
            yield label_target(label, templates, share)
        elif kind == TXT:
            yield Target("txt", share=share)
        else:
            yield Target("json", caption_keys=(kind,), share=share)
