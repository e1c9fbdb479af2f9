"""The tables of the page: one row per line, in the words of the page."""

from pathlib import Path

from hpc_xfer.reporting.answer_tables import answer_files, read_answers
from hpc_xfer.reporting.page_tables.answer_tables import scaling_tables
from hpc_xfer.reporting.page_tables.chosen_values import chosen_values
from hpc_xfer.reporting.page_tables.gap_tables import MOST_PAIRS, pair_table, range_table
from hpc_xfer.reporting.page_tables.page_table import PageTable
from hpc_xfer.reporting.page_tables.pretraining_table import pretraining_table
from hpc_xfer.reporting.page_tables.sections import sections, set_aside_table
from hpc_xfer.results.tables import csv_files
from tests.fabricated import GRID, make
from tests.reporting.answer_rows import gap, scaling, sources, spread


def column(table: PageTable, title: str) -> list[str]:
    at = [column.title for column in table.columns].index(title)
    return [row[at].text for row in table.rows]


def test_a_pair_says_its_interval_and_what_it_covers() -> None:
    table = pair_table([gap("clip", "simclr", 5.12, 0.9, 9.3, p_holm=0.0004)])
    assert column(table, "a minus b") == ["+5.1"]
    assert column(table, "95% interval") == ["0.9 to 9.3"]
    assert column(table, "interval covers") == ["draws"]
    assert column(table, "p") == ["< 0.001"]
    assert column(table, "higher") == ["a"]


def test_a_pair_without_an_interval_says_why() -> None:
    table = pair_table([gap("clip", "simclr", -0.04, None, None)])
    assert column(table, "a minus b") == ["+0.0"]
    assert column(table, "higher") == ["cannot be said"]
    assert column(table, "note") == ["one draw: no interval"]
    assert "95% interval" not in [each.title for each in table.columns]  # no row has one


def test_the_page_shows_the_mean_first_and_counts_what_it_leaves_to_the_csv() -> None:
    pairs = [gap("clip", "simclr", 1, 0, 2)] * MOST_PAIRS
    table = pair_table([*pairs, gap("clip", "simclr", 3, 2, 4, dataset="mean")])
    assert column(table, "data set")[0] == "mean"
    assert (len(table.rows), table.more) == (MOST_PAIRS, 1)


def test_the_range_and_the_spread_of_one_axis_share_a_row_per_shots() -> None:
    table = range_table(
        [
            sources(4.2, 2.2, "full", unbiased=0.031),
            spread(1.08, None, None, "full", p=0.007),
            sources(4.7, 6.7, "1"),
        ]
    )
    assert column(table, "shots") == ["1", "full"]
    assert column(table, "best minus worst") == ["4.7", "4.2"]
    assert column(table, "95% interval") == ["-2.0 to 11.4", "2.0 to 6.4"]
    assert column(table, "free of that luck") == ["—", "+3.1"]
    assert column(table, "spread") == ["—", "1.1"]
    assert column(table, "p of any difference") == ["—", "0.007"]


def test_a_crossing_beyond_the_largest_size_has_no_number() -> None:
    rows = [
        scaling("crossing", "clip sans", "clip wit", value=3.2, ci95_low=1.5, ci95_high=8.0),
        scaling("crossing", "clip wit", "clip sans", censored="above", ci95_low=12.0),
    ]
    (table,) = scaling_tables(rows)
    assert column(table, "times more") == ["3.2 x", "beyond the largest"]
    assert column(table, "95% interval") == ["1.5 x to 8 x", "at least 12 x"]


def test_hours_of_a_run_count_the_ranks_of_each_of_its_parts() -> None:
    run = {
        "run": "ab12", "kind": "pretrain", "label": "clip", "gpu": "A100", "seconds": "7200",
        "steps": "100", "ranks": '[{"from_step": 0, "ranks": 2}, {"from_step": 25, "ranks": 4}]',
        "final_loss": "3.801029", "samples_seen": "16000", "pretrain_seed": "0",
    }  # fmt: skip
    table = pretraining_table([run, run | {"kind": "finetune"}, run | {"ranks": "", "gpu": ""}])
    assert column(table, "GPU-hours") == ["7.00", "—"]
    assert column(table, "hours") == ["2.00", "2.00"]
    assert column(table, "on") == ["A100", "CPU"]
    assert column(table, "final loss") == ["3.801", "3.801"]


TWO_GRIDS = GRID.replace("  datasets: [digits, mnist]", "  - datasets: [digits]").replace(
    "\n  shots: [1, full]\n  draws: 3\n  mode: [ft]\n  tune: {lr: [1e-4, 1e-3]}",
    "\n    shots: [1]\n    tune: {lr: [1e-4, 1e-3]}\n"
    "  - datasets: [mnist]\n    shots: [1]\n    tune: {lr: [1e-4, 1e-3, 1e-2]}",
)


def test_two_grids_are_two_histograms_and_both_ends_of_two_values_are_flagged(
    tmp_path: Path,
) -> None:
    study, _, _ = make(tmp_path, TWO_GRIDS)
    cells = [
        {"mode": "ft", "dataset": dataset, "shots": "1", "lr": lr, "lr_edge": edge}
        for dataset, lr, edge in (
            ("digits", "0.001", ""), ("digits", "0.001", ""), ("digits", "0.0001", ""),
            ("mnist", "0.001", ""), ("mnist", "0.01", "high"),
        )
    ]  # fmt: skip
    two, three = chosen_values(study, cells)
    assert two.cells == {"0.0001": 1, "0.001": 2}
    assert two.edges == {"low": 1, "high": 2}
    assert three.cells == {"0.0001": 0, "0.001": 1, "0.01": 1}
    assert three.edges == {"high": 1}


def test_a_long_grid_lists_what_was_chosen_and_its_ends(tmp_path: Path) -> None:
    study, _, _ = make(tmp_path, GRID.replace("mode: [ft]", "mode: [lp]").replace(
        "  tune: {lr: [1e-4, 1e-3]}\n", ""))  # fmt: skip
    cells = [{"mode": "lp", "dataset": "digits", "shots": "1", "l2": "0.0136887", "l2_edge": ""}]
    (path,) = chosen_values(study, cells)
    assert path.title == "l2 (lp): 45 values, 1e-08 to 100"
    assert path.cells == {"1e-08": 0, "0.0137": 1, "100": 0}


def test_an_older_study_folder_lacks_sections_and_says_so(tmp_path: Path) -> None:
    found = sections(read_answers(answer_files(tmp_path)))
    assert [part.csv for part in found if part.absent] == [
        "gaps.csv", "gaps.csv", "scaling.csv", "ranks.csv", "variance.csv",
    ]  # fmt: skip


def test_records_that_were_set_aside_are_listed_with_their_reason(tmp_path: Path) -> None:
    assert set_aside_table(tmp_path) is None
    rows = [{"run": "ab12", "file": "record.json", "why": "half-written"}]
    csv_files.write(tmp_path / "set_aside.csv", list(rows[0]), rows)
    table = set_aside_table(tmp_path)
    assert table is not None and column(table, "why") == ["half-written"]
