"""The shapes of a lease (claims/1.json, the launch lock) and of a note in found_held/.

An odd lease is one that nobody holds, and the next number is taken: it can neither let two
processes work on a run, as its number is used up, nor keep a run from all.
"""

from hpc_xfer.store.documents.document import (
    COUNT,
    FLAG,
    KB,
    LINE,
    MAPPING,
    PATH,
    TIME,
    WORD,
    DocumentKind,
    either,
    or_none,
    shape,
    text,
    whole,
)

_WORD = or_none(WORD)
_MOST_PID = 2**31 - 1
# Of a process, see process_identity.py.
_PROCESS = {
    "host": WORD,
    "pid": whole(1, _MOST_PID),  # 0 and -1 would be all processes
    "process_started": or_none(text(64)),
    "boot": or_none(LINE),
    "pid_namespace": or_none(LINE),
}
_JOB = {
    "slurm_job": _WORD,
    "slurm_job_name": or_none(LINE),
    "restarts": either(text(64), COUNT),
    "time": TIME,
}
CLAIM = DocumentKind(
    "a claim",
    shape(
        {
            **_PROCESS,
            **_JOB,
            "attempt": COUNT,
            "token": text(64),
            "folder": PATH,
            "saved": whole(0, 2**63 - 1),  # nanoseconds since 1970
            "released": FLAG,
            "revoked": text(4 * KB),
        },
        needed=("host", "pid"),
    ),
    256 * KB,
)
FOUND_HELD = DocumentKind(
    "a note on a held run", shape({**_JOB, "job": WORD, "by": MAPPING}, needed=("job",)), 256 * KB
)
