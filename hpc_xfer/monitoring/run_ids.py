"""Find runs by the first characters of their ids, as people type them."""

from hpc_xfer.errors import StudyError
from hpc_xfer.monitoring.study_state import StudyState
from hpc_xfer.study.plan import Run

_MOST_NAMED = 5


def runs_that_begin(study: StudyState, start: str, option: str) -> list[Run]:
    """List the runs whose ids begin with `start`; there is at least one.

    Args:
        option: that was typed, for the message.

    Raises:
        StudyError: there is none.
    """
    runs = [run for run in study.plan.runs if run.id.startswith(start)]
    if not runs:
        raise StudyError(
            f"{option} {start}: no run of this study has an id that begins so; ids are in runs.csv "
            "(finished) and missing.csv (others)"
        )
    return runs


def run_that_begins(study: StudyState, start: str, option: str) -> Run:
    """Return the one run whose id begins with `start`.

    Raises:
        StudyError: there is none, or there are several.
    """
    runs = runs_that_begin(study, start, option)
    if len(runs) == 1:
        return runs[0]
    named = ", ".join(run.id for run in runs[:_MOST_NAMED])
    more = ", ..." if len(runs) > _MOST_NAMED else ""
    raise StudyError(
        f"{option} {start}: {len(runs):,} runs have ids that begin so ({named}{more}); give more "
        "characters of one"
    )
