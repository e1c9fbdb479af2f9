"""Start or stop a Slurm from the command line: `python -m tests.cluster start /tmp/cluster`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.cluster import Cluster, conf_of, missing, runs, stop
from tests.cluster.errors import ClusterError


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description="A real Slurm on this machine, to try things on.",
        epilog="example:\n"
        '  eval "$(python -m tests.cluster start /tmp/cluster)"\n'
        "  sinfo\n"
        "  python -m tests.cluster stop /tmp/cluster\n\n"
        "Nodes n1, n2, ... have 16 CPUs and 4 GPUs each as far as Slurm knows; jobs share what is\n"
        "there. Partitions: gpu, and urgent, whose jobs preempt those of gpu.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="start|stop")
    start = verbs.add_parser("start", help="start one, unless it runs; prints what to export")
    start.add_argument("folder", type=Path, help="new or empty, with a short path")
    start.add_argument("--nodes", type=int, default=4, metavar="N", help="4 if not given")
    start.add_argument("--accounting", action="store_true", help="with slurmdbd: sacct, limits")
    start.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a line of slurm.conf"
    )
    verbs.add_parser("stop", help="end it and its jobs").add_argument("folder", type=Path)
    args = parser.parse_args(argv)
    try:
        if args.verb == "stop":
            stop(args.folder.resolve())
            return
        if absent := missing(args.accounting):
            raise ClusterError(f"not installed: {', '.join(absent)}; run: make slurm")
        if runs(args.folder.resolve()):  # in another shell, say
            conf = conf_of(args.folder.resolve())
            told = f"{args.folder}: a cluster runs there already, as it was started"
            print(told, file=sys.stderr)
        else:
            settings = dict(line.split("=", 1) for line in args.set)
            cluster = Cluster.start(args.folder, args.nodes, args.accounting, settings)
            cluster.leave()
            conf = cluster.conf
    except ClusterError as error:
        sys.exit(str(error))
    print(f"export SLURM_CONF={conf}")


if __name__ == "__main__":
    main()
