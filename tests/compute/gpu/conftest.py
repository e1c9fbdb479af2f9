"""Whether a run of a test uses the GPU or the CPU."""

import pytest

from hpc_xfer.system import machine
from tests.compute.gpu.devices import Choice


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Choice:
    """Chooses the device of the next runs: `cuda` or `cpu`."""

    def choose(device: str) -> None:
        monkeypatch.setenv(machine.DEVICE, device)

    return choose
