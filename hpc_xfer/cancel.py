"""Cancel what a study has in the queue, and nothing else.

python -m hpc_xfer.cancel grids/size_scaling.yaml

Jobs of other studies stay, and so do jobs with a run that another study waits for.
"""

import json
from collections.abc import Sequence

from hpc_xfer import cli
from hpc_xfer.config.site import load_site
from hpc_xfer.scheduling.cancellation import cancel
from hpc_xfer.store.rehearsal_store import load_last_rehearsal
from hpc_xfer.study.study_file import load_study


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser(
        "cancel",
        "Cancel what a study has in the queue: its own jobs, and of those none with a run that "
        "another study of the store waits for. Launching again goes on from the checkpoints.",
        "python -m hpc_xfer.cancel grids/size_scaling.yaml",
    )
    cli.add_grid_arguments(parser)
    parser.add_argument("--rehearsal", action="store_true", help="of the last rehearsal")
    parser.add_argument("--json", action="store_true", help="for scripts")
    args = parser.parse_args(argv)
    asked = load_study(args.grid)
    store = cli.store_of(args.store, load_site(args.site))
    if args.rehearsal:
        asked, store = load_last_rehearsal(asked, store)
    done = cancel(store, asked.name)
    if args.json:
        print(json.dumps({"study": asked.name, **done.as_json()}, indent=2))
    else:
        print(f"cancelled {len(done.jobs):,} jobs and elements of arrays")
        if done.kept:
            print(
                f"left {len(done.kept):,} that another study waits for: {' '.join(done.kept[:20])}"
            )
    return 0


if __name__ == "__main__":
    cli.exit_with(main)
