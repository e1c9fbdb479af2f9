"""Read a kind of file of a store: its size, keys, types and ranges are held against a shape.

    CLAIM = DocumentKind("a claim", shape({"host": HOST, "pid": PID}, needed=("host", "pid")), KB)
    CLAIM.read(path)        # None where it is absent or odd; what is odd is noted in `set_aside`

Others may write to a store. What a file holds beside the named keys is left as it is: another
version may need it.
"""

from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema

from hpc_xfer.system import atomic_files, set_aside

KB, MB = 1 << 10, 1 << 20
_LARGEST = 1e30  # of a measured number: its fourth power is finite, and so is a sum of them


def shape(fields: Mapping[str, CoreSchema], needed: Collection[str] = ()) -> CoreSchema:
    """The schema of a mapping with these keys and any others."""
    return core_schema.typed_dict_schema(
        {
            key: core_schema.typed_dict_field(schema, required=key in needed)
            for key, schema in fields.items()
        },
        extra_behavior="allow",
    )


def text(most: int, pattern: str | None = None) -> CoreSchema:
    """The schema of a string of at most so many characters."""
    return core_schema.str_schema(max_length=most, pattern=pattern, strict=True)


def whole(least: int, most: int) -> CoreSchema:
    """The schema of an integer in a range; true is none."""
    return core_schema.int_schema(ge=least, le=most, strict=True)


def real(least: float = -_LARGEST, most: float = _LARGEST) -> CoreSchema:
    """The schema of a finite number in a range."""
    return core_schema.float_schema(ge=least, le=most, allow_inf_nan=False, strict=True)


def or_none(schema: CoreSchema) -> CoreSchema:
    """The schema of a value, or null."""
    return core_schema.nullable_schema(schema)


def several(schema: CoreSchema, most: int) -> CoreSchema:
    """The schema of a list of at most so many values."""
    return core_schema.list_schema(schema, max_length=most, strict=True)


def by_name(key: CoreSchema, value: CoreSchema, most: int = 1_000_000) -> CoreSchema:
    """The schema of a mapping with any keys."""
    return core_schema.dict_schema(key, value, max_length=most, strict=True)


def either(*schemas: CoreSchema) -> CoreSchema:
    """The schema of a value of one of these kinds; the first that fits counts."""
    return core_schema.union_schema(list(schemas), mode="left_to_right")


def otherwise(schema: CoreSchema, default: Any) -> CoreSchema:
    """The schema of a value that is set where its key is absent."""
    return core_schema.with_default_schema(schema, default_factory=partial(copy, default))


ANY = core_schema.any_schema()
FLAG = core_schema.bool_schema(strict=True)
MAPPING = core_schema.is_instance_schema(dict)  # as it is: by_name makes a copy
NAME = text(128, r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")  # of a file or folder: no part of another path
JOB_NAME = text(1_024, r"^[A-Za-z0-9_=+.-]+$")
JOB = text(64, r"^[0-9]+(_[0-9]+)?$")  # a number in Slurm, of an element too
WORD = text(255, r"^[!-~]+$")  # of a host, a user, a node
LINE = text(1_024)
PATH = text(64 * KB, r"^[^\x00]*$")
COUNT = whole(0, 2**53)
TIME = real(0, 1e12)  # seconds since 1970


class Misfit(ValueError):
    """A content that is not of its kind."""


@dataclass(frozen=True)
class DocumentKind:
    """One kind of file."""

    what: str  # goes on after "is not": "a claim"
    schema: CoreSchema
    most: int  # bytes

    def read(self, path: Path | str) -> dict[str, Any] | None:
        """Read a file; None where it is absent, and where it is odd, which is noted.

        Raises:
            StoreError: it exists but cannot be read.
        """
        content = atomic_files.read_json(path, most=self.most)
        if content is None:
            return None
        try:
            return self.fitted(content)
        except Misfit as why:
            set_aside.note(path, str(why))
            return None

    def fitted(self, content: Any) -> dict[str, Any]:
        """Return a content, with what is absent set.

        Raises:
            Misfit: it is not of this kind.
        """
        try:
            found: dict[str, Any] = self._validator.validate_python(content)
        except ValidationError as error:
            place = error.errors(include_url=False, include_input=False)[0]["loc"][:1]
            where = f" (see {place[0]!r})" if place else ""
            raise Misfit(f"is not {self.what}{where}") from None
        return found

    @cached_property
    def _validator(self) -> SchemaValidator:
        return SchemaValidator(self.schema)
