"""List the commands: `python -m hpc_xfer`."""

COMMANDS = {
    "launch": "run or submit what a study still needs, then collect and report",
    "status": "show the state of a study, and explain it",
    "cancel": "remove the jobs of a study from the queue",
    "cost": "estimate GPU-hours, time, disk and files before a launch",
    "doctor": "check that the cluster is ready for a study",
    "collect": "turn records into CSV tables",
    "import": "take results from elsewhere into a study",
    "report": "turn tables into figures and one HTML page",
    "datasets": "list, fetch and check downstream data sets",
    "shards": "make, index and check tar shards",
    "relay": "keep a launched study going; Slurm runs it",
    "job": "run one pack and supervise its worker; Slurm runs it",
    "worker": "execute packs; launchers run it",
}


def main() -> None:
    print("usage: python -m hpc_xfer.COMMAND --help\n")
    for name, does in COMMANDS.items():
        print(f"  {name:<10}{does}")


if __name__ == "__main__":
    main()
