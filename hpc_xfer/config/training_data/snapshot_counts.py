"""Check after how many samples seen the encoders of a pre-training are kept."""

import itertools


def why_not_kept(counts: list[int], batch: int, end: int) -> str:
    """Say why these are not after different steps before the last one; empty if they are."""
    if not counts:
        return "is empty; remove it"
    if counts[0] < batch:
        return f"{counts[0]:,} is less than one step ({batch:,} samples); raise it"
    if counts[-1] // batch >= max(1, end // batch):
        return (
            f"{counts[-1]:,} is not before the end of the run ({end:,} samples seen, in steps of "
            f"{batch:,}); the final encoder is kept anyway; remove it"
        )
    for one, next_ in itertools.pairwise(counts):
        if one // batch == next_ // batch:
            return f"{one:,} and {next_:,} are in one step ({batch:,} samples); keep one"
    return ""
