"""A real Slurm on this machine, in one folder: nodes that are processes, up in a second.

    eval "$(python -m tests.cluster start /tmp/cluster)"  # sets SLURM_CONF
    python -m tests.cluster stop /tmp/cluster

Each node is a `slurmd -N n1`, `-N n2`, ... with a port of its own, beside one slurmctld and one
munged; with accounting also slurmdbd and mariadbd. Needs no root, no container, no entry in
/etc/hosts; what the tests start ends with them, even if they are killed. Seen on Slurm 22.05.

    login = Cluster.start(accounting=True, name="login")
    gpu = Cluster.start(beside=login, name="gpu")         # from login: sbatch -M gpu
    gpu.reinstall_controller()                            # its next job has number 1
    saved = gpu.save_state()
    gpu.lose_what_came_after(saved)                       # jobs since then are forgotten
"""

from tests.cluster.cluster import Cluster as Cluster
from tests.cluster.cluster import missing as missing
from tests.cluster.daemons import OF_SLURM as OF_SLURM
from tests.cluster.errors import ClusterError as ClusterError
