"""Mixtures of sources: shares in a recipe, and the samples that each source gives.

    source: {laion: 0.5, yfcc: 0.5}      # in a grid; kept as whole numbers: {"laion": 1, "yfcc": 1}
    split(1_000_000, {"laion": 1, "yfcc": 1})      # (500_000, 500_000)

Shares become the smallest whole numbers of their ratio, sorted by name, so that 0.5 and 0.5, 1 and
1, and another order of the names are one run.
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from hpc_xfer.config.notation.units import read_share
from hpc_xfer.config.schema import format_value

_MOST_PARTS = 1_000_000  # the sum of whole shares; six digits of a decimal


def whole_shares(shares: Mapping[str, Any]) -> dict[str, int]:
    """Turn shares into the smallest whole numbers of the same ratio, sorted by name.

    Raises:
        ValueError: a share is no number above 0, or has too many digits; or percentages do not
            add up to 100.
    """
    if not shares:
        raise ValueError("names nothing; give shares, such as {laion: 0.5, yfcc: 0.5}")
    read = {name: read_share(shares[name]) for name in sorted(shares)}
    exact = {name: _exact(name, share) for name, share in read.items()}
    if percent := [name for name, share in read.items() if share is not shares[name]]:
        total = sum(exact.values())
        if len(percent) < len(read) or total != 1:
            raise ValueError(
                "percentages must be given for all, and add up to 100%, not "
                f"{float(100 * total):g}%"
            )
    unit = math.lcm(*(each.denominator for each in exact.values()))
    whole = {name: int(each * unit) for name, each in exact.items()}
    common = math.gcd(*whole.values())
    whole = {name: each // common for name, each in whole.items()}
    if sum(whole.values()) > _MOST_PARTS:
        raise ValueError("the shares have too many digits; write at most six, such as 0.25")
    return whole


def _exact(name: str, share: Any) -> Fraction:
    """Check a share.

    Raises:
        ValueError: it is no finite number above 0.
    """
    if isinstance(share, list):
        raise ValueError(
            f"the share of {name!r} is a list; write a list of mixtures, such as "
            "[{laion: 1, yfcc: 1}, {laion: 1, yfcc: 3}]"
        )
    if share is None:
        raise ValueError(f"has no share of {name!r}; write one, such as {{{name}: 0.5}}")
    if isinstance(share, bool) or not isinstance(share, int | float):
        got = format_value(share)
        raise ValueError(
            f"the share of {name!r} must be a number above 0, such as 0.5 or 50%, got {got}"
        )
    if not share > 0:
        raise ValueError(f"the share of {name!r} must be a number above 0; remove it to use none")
    if math.isinf(share):
        raise ValueError(f"the share of {name!r} must be a finite number, such as 0.5")
    return Fraction(str(share))


def split(samples: int, shares: Mapping[str, int]) -> tuple[int, ...]:
    """Split samples by shares, in the order of the shares; the parts add up exactly.

    A part never gets smaller where `samples` grows, so that subsets stay nested: the first source
    is rounded, and the others share the rest in the same way.
    """
    parts, left, total = [], samples, sum(shares.values())
    for share in shares.values():
        part = (2 * left * share + total) // (2 * total)  # rounded to the nearest
        parts.append(part)
        left, total = left - part, total - share
    return tuple(parts)


def shares_text(shares: Mapping[str, int]) -> str:
    """Name a mixture for tables: `laion+yfcc`, or `laion 30%+yfcc 70%` where shares differ."""
    if len(set(shares.values())) == 1:
        return "+".join(shares)
    total = sum(shares.values())
    return "+".join(f"{name} {100 * share / total:.6g}%" for name, share in shares.items())
