"""Strict frozen models, and sentences for their errors: place, reason, way out."""

import difflib
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from hpc_xfer.config.notation.units import (
    read_count,
    read_gigabytes,
    read_minutes,
    read_share,
    read_whole_minutes,
    refuse_thousands,
)
from hpc_xfer.config.notation.way_out import several_in, way_out
from hpc_xfer.config.yaml_document import Loc


class StrictModel(BaseModel):
    """Frozen, no unknown keys, no silent conversion ("8" is not 8), no NaN."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        defer_build=True,  # build at first use: --help need not pay the 50 ms
    )


def _whole(value: Any) -> Any:
    """Accept 1e6, which is read as a float, and 1M as a whole number."""
    value = read_count(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _without_sign(value: float) -> float:
    """Turn -0.0 into 0.0: equal settings are written alike, so that they make one run."""
    return value + 0.0


def _without_control(text: str) -> str:
    """Refuse control characters: names are parts of labels, of file names and of names of jobs."""
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError(f"{format_value(text)} contains a control character; remove it")
    return text


def tupled(value: Any) -> Any:
    """Read one value where a list is meant as a list of it."""
    if value is None or isinstance(value, dict):
        return value
    return tuple(value) if isinstance(value, list | tuple) else (value,)


_MOST_NAMES = 30  # in one sentence
LARGEST_COUNT = 10**15  # more is a typing error, and floats lose digits there
PositiveInt = Annotated[int, BeforeValidator(_whole), Field(gt=0, le=LARGEST_COUNT)]
NonNegativeInt = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=LARGEST_COUNT)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0), AfterValidator(_without_sign)]
BatchSize = Annotated[PositiveInt, BeforeValidator(refuse_thousands)]
Minutes = Annotated[PositiveFloat, BeforeValidator(read_minutes)]
WholeMinutes = Annotated[PositiveInt, BeforeValidator(read_whole_minutes)]
Gigabytes = Annotated[PositiveFloat, BeforeValidator(read_gigabytes)]
Number = Annotated[float, AfterValidator(_without_sign)]
Fraction = Annotated[
    float, BeforeValidator(read_share), Field(ge=0, le=1.0), AfterValidator(_without_sign)
]
Name = Annotated[str, AfterValidator(_without_control)]

Model = TypeVar("Model", bound=StrictModel)
ConfigError = tuple[Loc, str]


def validate(model: type[Model], data: Mapping[str, Any]) -> tuple[Model | None, list[ConfigError]]:
    """Return the model, or every error in it with its key path. Lists become tuples, as in JSON."""
    if wrong := list(_surrogates(data, ())):
        return None, wrong
    try:
        return model.model_validate_json(json.dumps(data)), []
    except ValidationError as bad:
        return None, _errors(model, data, bad.errors(include_url=False))


# What other programs call our keys.
_SYNONYMS = {
    "architecture": ("arch",), "backbone": ("arch",), "model": ("arch",),
    "dataset": ("datasets", "source"), "data": ("datasets", "source"),
    "learning_rate": ("lr",), "wd": ("weight_decay",), "batch_size": ("batch",),
    "size": ("samples",), "images": ("samples",), "warmup": ("warmup_steps",),
    "finetune": ("ft",), "finetuning": ("ft",), "linear": ("lp",), "probe": ("lp",),
    "repeats": ("draws",), "trials": ("draws",), "time": ("minutes",), "hours": ("minutes",),
}  # fmt: skip


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the name that a word is a misspelling of, or another program's word for."""
    names = sorted(known)
    plain = {name.lower().replace("_", "").replace("-", ""): name for name in names}
    if same := plain.get(word.lower().replace("_", "").replace("-", "")):
        return same
    ours = [name for name in _SYNONYMS.get(word.lower(), ()) if name in names]
    close = ours or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    close = close or [name for name in names if len(word) > 2 and word.lower() in name.lower()]
    return close[0] if close else None


def nearest(word: str, known: Iterable[str], what: str) -> str:
    """Say `did you mean 'x'?`, or list the choices, at most the 30 closest."""
    names = sorted(known, key=_numbers_first)
    if several := several_in(word):
        return f"for several, write [{several}]"
    if close := closest(word, names):
        return f"did you mean {close!r}?"
    if len(names) > _MOST_NAMES:
        names = [*difflib.get_close_matches(word, names, n=_MOST_NAMES, cutoff=0.0), "..."]
    return f"{what}: {', '.join(names)}"


def _numbers_first(name: str) -> tuple[float, str]:
    """Sort 5 before 20, and both before words."""
    return (float(name), "") if name.replace(".", "", 1).isdecimal() else (math.inf, name)


def _surrogates(data: Any, loc: Loc) -> Iterator[ConfigError]:
    """Find text with half a character (a lone surrogate), which no file can hold."""
    if isinstance(data, str) and any("\ud800" <= character <= "\udfff" for character in data):
        yield loc, f"{json.dumps(data)} contains half a character of UTF-16; remove it"
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from _surrogates(value, (*loc, key))
    elif isinstance(data, list):
        for i, value in enumerate(data):
            yield from _surrogates(value, (*loc, i))


def _errors(
    model: type[StrictModel], data: Mapping[str, Any], errors: Iterable[ErrorDetails]
) -> list[ConfigError]:
    """Return one sentence per place: for a union, pydantic returns an error of each type."""
    places: dict[Loc, list[ErrorDetails]] = {}
    unions = set()
    for error in errors:
        loc, in_union = _place(data, error)
        places.setdefault(loc, []).append(error)
        if in_union:
            unions.add(loc)
    misspelt = {
        (*loc[:-1], closest(str(loc[-1]), _keys(model, loc[:-1])))
        for loc, found in places.items()
        if found[0]["type"] == "extra_forbidden"
    }
    return [
        (loc, _sentence(model, loc, found))
        for loc, found in places.items()
        if not (found[0]["type"] == "missing" and loc in misspelt)  # it follows from the misspelt
        # an error inside a mapping hides "must be a number" about the mapping itself
        and not (
            loc in unions and any(loc == other[: len(loc)] for other in places if other != loc)
        )
    ]


def _place(data: Any, error: ErrorDetails) -> tuple[Loc, bool]:
    """Return the key path as in the file, and whether pydantic added names of types to it."""
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
    if kind in ("too_short", "string_too_short"):
        return "is empty; give it a value"
    wanted = [_wanted(error) for error in errors]
    own = [error["msg"] for error, want in zip(errors, wanted, strict=True) if not want]
    if own:  # of one type of a union, it says more than that another type is wanted
        return own[0].removeprefix("Value error, ")
    field = _field(model, loc)
    annotation = None if field is None else field.annotation
    kinds = list(dict.fromkeys(map(str, wanted)))
    if kinds == ["a list"] and (length := _length(annotation)):
        kinds = [f"a list of {length}"]
    if kind == "missing":
        kinds = kinds[-1:]  # each missing value is an error of its own
    if any(each.startswith(_BOUNDS) for each in kinds):  # then it is a number, but not this one
        kinds = [each for each in kinds if each not in ("a mapping", "a list")]
    way = way_out(kinds, got, type(None) in get_args(annotation)) or _of_options(errors, got)
    if got is None and field is not None and field.is_required():
        way = "; give it a value"
    if kinds == ["a mapping"] and got is not None:
        ones = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type)]
        models = [each for each in ones if issubclass(each, BaseModel)]
        way = f"; its keys are: {', '.join(sorted(models[0].model_fields))}" if models else ""
    return f"must be {' or '.join(kinds)}, got {format_value(got)}{way}"


_BOUNDS = ("greater than", "less than", "at least", "at most", "a finite")


def _of_options(errors: list[ErrorDetails], got: Any) -> str:
    """Name the option, or the share of 1, that a value seems to mean."""
    first = errors[0]
    most = first.get("ctx", {}).get("le")
    if isinstance(most, float) and most == 1 and 1 < got <= 100:
        return f"; write {got / 100:g} or {got:g}%"
    expected = [error["ctx"]["expected"] for error in errors if error["type"] == "literal_error"]
    options = [option for text in expected for option in re.findall(r"'([^']+)'", text)]
    meant = closest(got, options) if isinstance(got, str) else None
    return "" if meant is None else f"; did you mean {meant!r}?"


def _wanted(error: ErrorDetails) -> str | None:
    """Say in a user's words what is expected; None if the message is a sentence of our own."""
    if error["type"] == "missing":  # in a list with a fixed length
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
    """Write a value of the file for a sentence; text is quoted."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keys(model: type[StrictModel], loc: Loc) -> Iterable[str]:
    """List the keys of the model at `loc`; those of the model around it if it is not one."""
    here: Any = model
    for name in loc:
        field = here.model_fields.get(str(name))
        inside = _model_in(field.annotation) if field else None
        if inside is None:
            return list(here.model_fields)
        here = inside
    return list(here.model_fields)


def _field(model: type[StrictModel], loc: Loc) -> FieldInfo | None:
    """Return the field at `loc`; None where it is inside of a mapping or list."""
    here: Any = model
    field = None
    for name in loc:
        if here is None or str(name) not in here.model_fields:
            return None
        field = here.model_fields[str(name)]
        here = _model_in(field.annotation)
    return field


def _length(annotation: Any) -> int:
    """Return how many values a list of a fixed length has; 0 where any number may stand."""
    kinds = (annotation, *get_args(annotation))
    found = [get_args(kind) for kind in kinds if get_origin(kind) is tuple]
    return len(found[0]) if found and Ellipsis not in found[0] else 0


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model class that a field holds, or may hold besides None or a word.

    Of a mapping it is the model of its values.
    """
    models = set(_models_in(annotation))
    return models.pop() if len(models) == 1 else None


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
