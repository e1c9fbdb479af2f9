"""What a typed, frozen, strict noun is, and how its mistakes read: place, reason, way out."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from hpc_xfer.document import Loc


class Noun(BaseModel):
    """Frozen, no unknown keys, no silent conversion ("8" is not 8), no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _whole(value: Any) -> Any:
    """1e6 reads as a float and means a count."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, BeforeValidator(_whole), Field(gt=0)]
Whole = Annotated[int, BeforeValidator(_whole), Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]

Model = TypeVar("Model", bound=Noun)
Mistake = tuple[Loc, str]


def validate(model: type[Model], data: Mapping[str, Any]) -> tuple[Model | None, list[Mistake]]:
    """The noun, or every mistake in it with its key path. Lists count as tuples, as in JSON."""
    try:
        return model.model_validate_json(json.dumps(data)), []
    except ValidationError as bad:
        return None, [_mistake(model, error) for error in bad.errors(include_url=False)]


def nearest(word: str, known: Iterable[str], what: str) -> str:
    """` did you mean 'x'?`, or the list to choose from."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"{what}: {', '.join(names)}"


def _mistake(model: type[Noun], error: ErrorDetails) -> Mistake:
    loc = tuple(error["loc"])
    kind, got = error["type"], error["input"]
    if kind == "extra_forbidden":
        keys = _keys(model, loc[:-1])
        return loc, f"unknown key; {nearest(str(loc[-1]), keys, 'the keys here are')}"
    if kind == "missing":
        return loc, f"is missing; add a line `{loc[-1]}: ...`"
    message = error["msg"].removeprefix("Value error, ")
    if message.startswith("Input should be "):
        wanted = message.removeprefix("Input should be ").removeprefix("a valid ")
        return loc, f"must be {_article(wanted)}, got {_shown(got)}"
    return loc, message


def _article(wanted: str) -> str:
    names = {
        "integer": "a whole number",
        "number": "a number",
        "string": "a word",
        "boolean": "true or false",
        "list": "a list",
        "tuple": "a list",
        "array": "a list",
        "dictionary": "a mapping",
        "object": "a mapping",
    }
    first = wanted.split(",")[0]
    return names.get(first, wanted)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keys(model: type[Noun], loc: Loc) -> Iterable[str]:
    """The keys of the noun at `loc` below `model`; those of `model` where that is not a noun."""
    here: Any = model
    for name in loc:
        field = here.model_fields.get(str(name))
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return list(here.model_fields)
        here = annotation
    return list(here.model_fields)
