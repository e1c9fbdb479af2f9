"""Settings that the tests of Slurm share."""

from hpc_xfer.config.site import RelayPlace, Slurm

CPU = Slurm(gpu_option="none", relay=RelayPlace(memory=None))
