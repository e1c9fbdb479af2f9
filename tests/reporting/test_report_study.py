from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hpc_xfer.reporting.report_study import report_study
from hpc_xfer.results import collect_tables
from tests.fabricated import make, record_all


def test_a_report_is_the_page_with_its_figures_and_the_results_for_tensorboard(
    tmp_path: Path,
) -> None:
    study, plan, store = make(tmp_path)
    record_all(store, plan.runs)
    folder = store.study(study.name)
    collect_tables.collect(plan, store, folder.summary)
    assert report_study(study, folder) == folder.report
    assert folder.report.exists()
    results = folder.tensorboard / "results"
    parts = {path.name for path in results.iterdir()}
    assert parts == {"about", "curves", "figures", "finetuning", "pretraining"}
    board = EventAccumulator(str(results / "figures"))
    board.Reload()
    drawn = {f"figures/{path.stem}" for path in folder.figures.glob("*.png")}
    assert drawn and set(board.Tags()["images"]) == drawn
