"""Print the set-up lines of jobs: the lines of `launch --by-hand` read them, to show none.

python -m hpc_xfer.scheduling.set_up_lines --store runs --study demo --site site.yaml
"""

import argparse
import sys
from pathlib import Path

from hpc_xfer.errors import XferError
from hpc_xfer.slurm.batch_script import setup_lines
from hpc_xfer.store.ownership import site_variables
from hpc_xfer.system import terminal


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--store", type=Path, required=True, help="the store")
    parser.add_argument("--study", required=True, help="name of a study that was launched there")
    parser.add_argument("--site", type=Path, help="site file")
    args = parser.parse_args()
    try:
        _, site = site_variables.store_and_site(args.store, args.study, args.site)
    except XferError as error:
        terminal.say(*error.sentences, stderr=True)
        return error.exit_code
    terminal.say(*setup_lines(site.slurm), lines=True)  # a shell reads it
    return 0


if __name__ == "__main__":
    sys.exit(main())
