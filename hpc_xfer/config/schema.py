"""What a typed, frozen, strict noun is, and how its mistakes read: place, reason, way out."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from hpc_xfer.config.yaml_document import Loc


class StrictModel(BaseModel):
    """Frozen, no unknown keys, no silent conversion ("8" is not 8), no NaN."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        defer_build=True,  # until first use: building all costs 50 ms, which --help need not pay
    )


def _whole(value: Any) -> Any:
    """1e6 reads as a float and means a count."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_MOST_NAMES = 30  # that a sentence lists
LARGEST_COUNT = (
    10**15
)  # of anything we count; more is a slip of the pen, and floats lose digits there
PositiveInt = Annotated[int, BeforeValidator(_whole), Field(gt=0, le=LARGEST_COUNT)]
NonNegativeInt = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=LARGEST_COUNT)]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]

Model = TypeVar("Model", bound=StrictModel)
ConfigError = tuple[Loc, str]


def validate(model: type[Model], data: Mapping[str, Any]) -> tuple[Model | None, list[ConfigError]]:
    """The noun, or every mistake in it with its key path. Lists count as tuples, as in JSON."""
    try:
        return model.model_validate_json(json.dumps(data)), []
    except ValidationError as bad:
        return None, _mistakes(model, data, bad.errors(include_url=False))


def nearest(word: str, known: Iterable[str], what: str) -> str:
    """` did you mean 'x'?`, or the list to choose from, cut to those that come closest."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    close = close or [name for name in names if len(word) > 2 and word.lower() in name.lower()]
    if close:
        return f"did you mean {close[0]!r}?"
    if len(names) > _MOST_NAMES:
        names = [*difflib.get_close_matches(word, names, n=_MOST_NAMES, cutoff=0.0), "..."]
    return f"{what}: {', '.join(names)}"


def _mistakes(
    model: type[StrictModel], data: Mapping[str, Any], errors: Iterable[ErrorDetails]
) -> list[ConfigError]:
    """One sentence per place: where several kinds are allowed, pydantic tells an error of each."""
    places: dict[Loc, list[ErrorDetails]] = {}
    unions = set()
    for error in errors:
        loc, in_union = _place(data, error)
        places.setdefault(loc, []).append(error)
        if in_union:
            unions.add(loc)
    return [
        (loc, _sentence(model, loc, found))
        for loc, found in places.items()
        # a mapping with a mistake inside is that mistake, not "must be a number" as well
        if not (loc in unions and any(loc == other[: len(loc)] for other in places if other != loc))
    ]


def _place(data: Any, error: ErrorDetails) -> tuple[Loc, bool]:
    """The key path as it stands in the file, and whether pydantic put names of kinds into it."""
    loc: list[str | int] = []
    here = data
    for part in error["loc"]:
        if isinstance(here, Mapping) and part in here:
            here = here[str(part)]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        elif error["type"] != "missing" or part != error["loc"][-1] or isinstance(part, int):
            continue
        loc.append(part)
    return tuple(loc), len(loc) < len(error["loc"])


def _sentence(model: type[StrictModel], loc: Loc, errors: list[ErrorDetails]) -> str:
    first = errors[0]
    kind, got = first["type"], first["input"]
    if kind == "extra_forbidden":
        return f"unknown key; {nearest(str(loc[-1]), _keys(model, loc[:-1]), 'the keys here are')}"
    if kind == "missing" and isinstance(got, dict):
        return f"is missing; add a line `{loc[-1]}: ...`"
    if kind == "too_short":
        return "is empty; give it a value"
    wanted = [_wanted(error) for error in errors]
    if not all(wanted):
        return first["msg"].removeprefix("Value error, ")
    way = ""
    if wanted == ["a list"] and isinstance(got, str | int | float):
        way = f"; write [{got}]"
    kinds = list(dict.fromkeys(map(str, wanted)))
    if kind == "missing":
        kinds = kinds[-1:]  # each absent value is an error of its own
    return f"must be {' or '.join(kinds)}, got {format_value(got)}{way}"


def _wanted(error: ErrorDetails) -> str | None:
    """What belongs there, in a user's words; None where the message is a sentence of ours."""
    if error["type"] == "missing":  # of a list with a fixed length
        return f"a list of {int(error['loc'][-1]) + 1}"
    if error["type"] == "too_long":
        return f"a list of {error['ctx']['max_length']}"
    message = error["msg"]
    if not message.startswith("Input should be "):
        return None
    return _article(message.removeprefix("Input should be ").removeprefix("a valid "))


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
        "an object": "a mapping",
    }
    first = wanted.split(",")[0]
    bound = wanted.replace("greater than or equal to", "at least")
    return names.get(first, bound.replace("less than or equal to", "at most"))


def format_value(value: Any) -> str:
    """A value of the file in a sentence; text in the same quotes as everywhere."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keys(model: type[StrictModel], loc: Loc) -> Iterable[str]:
    """The keys of the noun at `loc` below `model`; those of `model` where that is not a noun."""
    here: Any = model
    for name in loc:
        field = here.model_fields.get(str(name))
        inside = _noun(field.annotation) if field else None
        if inside is None:
            return list(here.model_fields)
        here = inside
    return list(here.model_fields)


def _noun(annotation: Any) -> type[BaseModel] | None:
    """The one that a field holds, or may hold beside None."""
    kinds = get_args(annotation) or (annotation,)
    nouns = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return nouns[0] if len(nouns) == 1 else None
