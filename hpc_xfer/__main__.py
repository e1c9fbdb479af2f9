"""`python -m hpc_xfer` lists the commands."""

COMMANDS = {
    "launch": "run what a study still needs, then collect and report",
    "collect": "records to CSV tables",
    "report": "tables to figures and one HTML page",
    "shards": "make, index and check tar shards",
    "worker": "execute one pack; launchers call it",
}


def main() -> None:
    print("usage: python -m hpc_xfer.COMMAND --help\n")
    for name, does in COMMANDS.items():
        print(f"  {name:<10}{does}")


if __name__ == "__main__":
    main()
