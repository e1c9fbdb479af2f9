"""Tiny copies of the packaged data sets: those that the package makes for rehearsals."""

from hpc_xfer.dataset_tools.stand_ins.packaged import WRITERS, make, site_entry

__all__ = ["WRITERS", "make", "site_entry"]
