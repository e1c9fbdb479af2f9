"""Tell the names that this program gives its jobs from all others.

    is_of_store("pre.clip.study.c0ffee12ab34-30e858.1", "30e858")      # True

A name ends in the tag of its store and a number. A ledger lies where others may write, and a line
in it may name any job of the user: only jobs with such names are cancelled, released or adopted.
"""

import re

_WORD = r"[A-Za-z0-9_=+-]*"
_TIME = r"\d{8}-\d{6}"


def is_of_store(name: str, tag: str, study: str = "") -> bool:
    """Tell whether a store of this tag gives such a name, to a job of this study if one is named.

    Args:
        study: as a part of a job name, see `store.submission_ledger.job_name`.
    """
    tag, study = re.escape(tag), re.escape(study) or _WORD
    work = rf"(pre|ft\w*)\.{_WORD}\.{study}\.\w+-{tag}"
    check = rf"check\.\w+\.[A-Za-z0-9_.-]+\.{tag}-{_TIME}"
    last = rf"relay\.{study}\.{tag}|collect\.{study}\.{tag}\.by-hand"
    return re.fullmatch(rf"({work}|{last}|{check})\.\d+", name, re.A) is not None
