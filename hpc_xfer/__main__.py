"""`python -m hpc_xfer` lists the commands."""

COMMANDS = {
    "launch": "run or submit what a study still needs, then collect and report",
    "status": "how a study stands, and why",
    "cancel": "take what a study has in the queue out of it",
    "doctor": "is the cluster ready for this study",
    "collect": "records to CSV tables",
    "report": "tables to figures and one HTML page",
    "shards": "make, index and check tar shards",
    "relay": "keep a launched study going; Slurm runs it",
    "job": "guard the worker of one job; Slurm runs it",
    "worker": "execute one pack; launchers call it",
}


def main() -> None:
    print("usage: python -m hpc_xfer.COMMAND --help\n")
    for name, does in COMMANDS.items():
        print(f"  {name:<10}{does}")


if __name__ == "__main__":
    main()
