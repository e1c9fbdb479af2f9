"""The live display keeps bar, count, clock and time to go on any screen."""

import io

import pytest

from hpc_xfer.execution.progress_display import Bars
from hpc_xfer.system.screen.plain_console import PlainConsole

NOW = ["clip laion 8M é 40% 1,200/s"] * 4


def screen(
    width: int, encoding: str = "utf-8", is_over: bool = False, failed_or_blocked: int = 0
) -> list[str]:
    """Lines of the display in the middle of a study of 40,000 runs, 100 s after its start."""
    clock = [0.0]
    out = io.BytesIO()
    file = io.TextIOWrapper(out, encoding=encoding)
    console = PlainConsole(file=file, width=width, force_terminal=True, color_system=None)
    bars = Bars(console, lambda: clock[-1])
    task = bars.add_task("fine-tuning", total=40_000)
    for seconds in (50.0, 100.0):
        clock.append(seconds)
        bars.update(task, advance=5_000, failed_or_blocked=failed_or_blocked)
    bars.show_running(NOW)
    if is_over:
        bars.stop()
    console.print(bars.get_renderable())
    file.flush()
    return [line.rstrip() for line in out.getvalue().decode(encoding).splitlines()]


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (60, ["fine-tuning  ━╸     10000/40000 0:01:40 0:05:00 to go",
              "now: clip laion 8M é 40% 1,200/s, clip laion 8M é 40% 1…"]),
        (80, ["fine-tuning  ━━━━━━╸                    10000/40000 0:01:40 0:05:00 to go",
              "now: clip laion 8M é 40% 1,200/s, clip laion 8M é 40% 1,200/s, clip laion 8…"]),
        (100, ["fine-tuning  ━━━━━━━━━━                               10000/40000 0:01:40 "
               "0:05:00 to go",
               "now: clip laion 8M é 40% 1,200/s, clip laion 8M é 40% 1,200/s, clip laion 8M é "
               "40% 1,200/s, cli…"]),
    ],
)  # fmt: skip
def test_bar_count_clock_and_time_to_go_stay(width: int, shown: list[str]) -> None:
    assert screen(width) == shown


@pytest.mark.parametrize("width", [60, 80, 100])
def test_ctrl_c_has_room_at_the_end_of_the_last_line(width: int) -> None:
    """The terminal prints `^C` there; in the next line it would spoil the display."""
    assert len(screen(width)[-1] + "^C^C") <= width


def test_a_terminal_without_these_characters_gets_others() -> None:
    bar, now = screen(60, "ascii")
    assert bar == "fine-tuning  -      10000/40000 0:01:40 0:05:00 to go"
    assert now.startswith(r"now: clip laion 8M \xe9 40%")
    assert screen(60, "latin-1")[1].endswith("40% 1~")


def test_runs_that_failed_or_wait_for_these_take_no_time() -> None:
    """5,000 runs take 50 s: 10,000 of 40,000 are done, and so many can still run."""
    for count, to_go in ((20_000, " 0:01:40 to go"), (29_999, " 0:00:01 to go"), (30_000, "")):
        line = screen(80, failed_or_blocked=count)[0]
        assert line.partition("10000/40000 0:01:40")[2] == to_go


def test_a_launch_that_has_ended_has_nothing_to_go() -> None:
    """Some of its runs failed, and others wait for them."""
    assert screen(80, is_over=True) == [
        "fine-tuning  ━━━━━━╸                    10000/40000 0:01:40"
    ]
