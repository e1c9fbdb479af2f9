"""Say by which arguments a command finds a study again: that of the call that tells so."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StudyArguments:
    """Arguments of a call on a study, without what it asked for."""

    given: str = "GRID"  # grid, --store, --site, --set and --only, as a shell reads them
    rehearsal: bool = False  # it is the last rehearsal of the grid
    stand_ins: bool = False  # of that rehearsal

    @property
    def found(self) -> str:
        """The arguments by which every command but `launch` finds it."""
        return f"{self.given} --rehearsal" if self.rehearsal else self.given

    def call(self, command: str) -> str:
        """Return a call of a command on it; a launch of a rehearsal begins another one."""
        if command != "launch" or not self.rehearsal:
            return f"python -m hpc_xfer.{command} {self.found}"
        again = "--rehearse --stand-ins" if self.stand_ins else "--rehearse"
        return f"python -m hpc_xfer.launch {self.given} {again}"


ANY_STUDY = StudyArguments()  # of calls that name none, such as those of a relay
