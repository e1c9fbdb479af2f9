"""Imported results are named, chosen among and scored as the study's own are."""

import os
import shutil
from pathlib import Path

import pytest

from hpc_xfer.config.site import Site
from hpc_xfer.errors import StoreError, StudyError
from hpc_xfer.results.collect_tables import collect
from hpc_xfer.results.freshness import is_report_current
from hpc_xfer.results.imported.combined import OwnStudy, own_study
from hpc_xfer.results.imported.import_file import ImportReport, take_in
from hpc_xfer.results.imported.imported_cells import Imported, read_imported
from hpc_xfer.results.parts.all_parts import read_parts
from hpc_xfer.results.parts.record_cache import RecordCache
from hpc_xfer.results.tables import csv_files
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_facts import StudyFacts
from hpc_xfer.study.study_file import load_study
from tests import fabricated

NOTHING = OwnStudy((), StudyFacts(), frozenset(), {})
CLIP = "clip,RN50,laion,2700000,43200000"
HEADER = "method,arch,source,samples,samples_seen,dataset,shots,draw,mode,lr,val_top1,test_top1"


def taken(
    folder: Path, rows: str, own: OwnStudy = NOTHING, header: str = HEADER, name: str = "a"
) -> Imported:
    """Import rows as a file, and read all that was imported."""
    study = StudyDir(folder / "study")
    imported(folder, rows, own, header, name)
    return read_imported(study, own)


def imported(
    folder: Path, rows: str, own: OwnStudy = NOTHING, header: str = HEADER, name: str = "a"
) -> ImportReport:
    path = folder / f"{name}.csv"
    path.write_text(f"{header}\n{rows}\n")
    return take_in(path, StudyDir(folder / "study"), own)


def own_of_tiny(folder: Path) -> OwnStudy:
    """`clip sans 8k`, `clip sans 16k` and `scratch` on digits and mnist, all finished."""
    _, plan, store = fabricated.make(folder)
    fabricated.record_all(store, plan.runs)
    return own_study(StudyFacts(), read_parts(plan, store, RecordCache()))


def test_a_study_without_imports_has_none(tmp_path: Path) -> None:
    found = read_imported(StudyDir(tmp_path), NOTHING)
    assert (found.scores, found.cell_rows) == ((), ())


def test_names_that_the_study_itself_does_not_have_are_told(tmp_path: Path) -> None:
    own = own_of_tiny(tmp_path)
    rows = f"{CLIP},digit,5,0,probe,,0.5,0.5\n{CLIP},digits,5,0,ft,,0.5,0.5"
    assert imported(tmp_path, rows, own).new == (
        "the study itself has no data set digit; did you mean 'digits'?",
        "the study itself has no mode probe; its modes are: ft",
    )
    assert imported(tmp_path, rows).new == ()  # a study without runs has no names of its own


def test_a_label_that_is_nearly_one_of_the_study_is_named(tmp_path: Path) -> None:
    header = "label,dataset,shots,mode,test_top1"
    with pytest.raises(StudyError, match="did you mean 'clip sans 16k'"):
        imported(tmp_path, "clip sans 15k,digits,3,lp,0.5", own_of_tiny(tmp_path), header)


def test_the_value_is_chosen_by_the_mean_of_validation_over_draws(tmp_path: Path) -> None:
    found = taken(
        tmp_path,
        f"{CLIP},pets,5,0,ft,1e-4,0.50,0.90\n"
        f"{CLIP},pets,5,1,ft,1e-4,0.60,0.91\n"
        f"{CLIP},pets,5,0,ft,1e-3,0.70,0.52\n"
        f"{CLIP},pets,5,1,ft,1e-3,0.55,0.53",
    )
    assert [(s.draw, s.mode, s.test_top1) for s in found.scores] == [
        ("0", "ft", 0.52),
        ("1", "ft", 0.53),
    ]
    first = found.cell_rows[0]
    assert (first["lr"], first["lr_edge"], first["trials"]) == (0.001, "high", 2)
    assert (first["test_best_of_trials"], first["test_mean_of_trials"]) == ("0.900000", "0.710000")
    assert (first["run"], first["chosen_over_draws"]) == ("imported", 2)


def test_without_validation_the_best_on_test_is_taken_and_the_mode_says_so(
    tmp_path: Path,
) -> None:
    found = taken(
        tmp_path,
        f"{CLIP},pets,5,0,ft,1e-4,,0.50\n"
        f"{CLIP},pets,5,0,ft,1e-3,,0.52\n"
        f"{CLIP},pets,0,0,zeroshot,,,0.30",
    )
    assert [(s.mode, s.test_top1) for s in found.scores] == [
        ("ft (selected on test)", 0.52),
        ("zeroshot", 0.30),  # nothing is chosen
    ]


def test_a_validation_of_some_values_alone_chooses_nothing(tmp_path: Path) -> None:
    rows = f"{CLIP},pets,5,0,ft,1e-4,0.9,0.50\n{CLIP},pets,5,0,ft,1e-3,,0.52"
    (score,) = taken(tmp_path, rows).scores
    assert (score.mode, score.test_top1) == ("ft (selected on test)", 0.52)


def test_equal_accuracies_go_to_the_smaller_learning_rate(tmp_path: Path) -> None:
    rows = f"{CLIP},pets,5,0,ft,1e-3,0.5,0.6\n{CLIP},pets,5,0,ft,1e-4,0.5,0.4"
    (row,) = taken(tmp_path, rows).cell_rows
    assert (row["lr"], row["lr_edge"]) == (0.0001, "low")


def test_an_encoder_without_a_label_is_named_as_the_studys_are(tmp_path: Path) -> None:
    found = taken(
        tmp_path,
        f"{CLIP},pets,5,0,ft,1e-4,0.5,0.5\n"
        "scratch,RN50,,,,pets,5,0,ft,1e-4,0.5,0.5\n"
        "clip,RN50,yfcc,1000,5000,pets,5,0,ft,1e-4,0.5,0.5\n"
        "clip,ViT-B-32,yfcc,1000,5000,pets,5,0,ft,1e-4,0.5,0.5",
    )
    assert [score.encoder.label for score in found.scores] == [
        "clip laion 2.7M",
        "scratch",
        "clip yfcc 1k arch=RN50",
        "clip yfcc 1k arch=ViT-B-32",
    ]
    clip = found.scores[0].encoder
    assert (clip.method, clip.arch, clip.source) == ("clip", "RN50", "laion")
    assert (clip.samples, clip.samples_seen, clip.snapshot) == (2_700_000, 43_200_000, None)


def test_the_curation_of_a_source_counts_for_imported_encoders(tmp_path: Path) -> None:
    facts = StudyFacts(curation={"web": ("laion",)})
    own = OwnStudy((), facts, frozenset(), {})
    (score,) = taken(tmp_path, f"{CLIP},pets,5,0,ft,1e-4,0.5,0.5", own).scores
    assert score.encoder.curation == "web"


def test_the_label_of_the_studys_own_encoder_makes_them_one(tmp_path: Path) -> None:
    own = own_of_tiny(tmp_path)
    header = f"label,{HEADER}"
    rows = "clip sans 8k,,,,,,pets,5,0,ft,1e-3,0.5,0.5"
    (score,) = taken(tmp_path, rows, own, header).scores
    assert score.encoder in own.encoders


def test_the_same_settings_without_the_label_are_another_encoder(tmp_path: Path) -> None:
    own = own_of_tiny(tmp_path)
    rows = "clip,RN50,sans,8000,8000,digits,1,0,ft,1e-3,0.5,0.5"
    (score,) = taken(tmp_path, rows, own).scores
    assert score.encoder.label == "clip sans 8k (imported)"
    assert score.encoder not in own.encoders


def test_a_label_of_the_study_with_other_settings_is_refused(tmp_path: Path) -> None:
    own = own_of_tiny(tmp_path)
    rows = "clip sans 8k,clip,RN50,sans,9000,9000,pets,5,0,ft,1e-3,0.5,0.5"
    with pytest.raises(StudyError) as caught:
        taken(tmp_path, rows, own, f"label,{HEADER}")
    assert (
        "a.csv:2: label: 'clip sans 8k' has samples 9000 here and 8000 in the study's own "
        "encoder; use two labels"
    ) in str(caught.value)


def test_one_label_for_two_encoders_is_refused(tmp_path: Path) -> None:
    rows = (
        "mine,clip,RN50,a,10,10,pets,5,0,ft,1e-3,0.5,0.5\n"
        "mine,clip,RN50,b,10,10,pets,5,0,ft,1e-3,0.5,0.6"
    )
    with pytest.raises(StudyError, match=r"'mine' has source b here and a in .*a.csv:2; use two"):
        taken(tmp_path, rows, header=f"label,{HEADER}")


def test_a_cell_that_the_study_measures_itself_is_refused(tmp_path: Path) -> None:
    own = own_of_tiny(tmp_path)
    header = f"label,seed,{HEADER}"
    rows = "clip sans 8k,0,,,,,,digits,1,0,ft,1e-3,0.5,0.5"
    with pytest.raises(StudyError, match=r"a.csv:2: the study itself measures this cell"):
        taken(tmp_path, rows, own, header)


def test_a_data_set_with_other_test_images_is_a_data_set_of_its_own(tmp_path: Path) -> None:
    own = own_of_tiny(tmp_path)  # 899 test images each
    header = f"{HEADER},n_test"
    rows = (
        f"{CLIP},digits,5,0,ft,1e-4,0.5,0.5,899\n"
        f"{CLIP},mnist,5,0,ft,1e-4,0.5,0.5,10000\n"
        f"{CLIP},pets,5,0,ft,1e-4,0.5,0.5,10"
    )
    found = taken(tmp_path, rows, own, header)
    assert [score.dataset for score in found.scores] == ["digits", "mnist (imported)", "pets"]
    assert [score.n_test for score in found.scores] == [899, 10000, 10]


def test_two_test_sets_under_one_name_are_refused(tmp_path: Path) -> None:
    rows = (
        f"{CLIP},pets,5,0,ft,1e-4,0.5,0.5,10\n"
        f"{CLIP},pets,5,1,ft,1e-4,0.5,0.5,20\n"
        f"{CLIP},pets,full,0,ft,1e-4,0.5,0.5,30"
    )
    with pytest.raises(StudyError, match=r"a.csv:3: n_test: 20 differs from 10 of .*a.csv:2"):
        taken(tmp_path, rows, header=f"{HEADER},n_test")


def test_files_add_up_and_a_contradiction_between_them_is_refused(tmp_path: Path) -> None:
    first = f"{CLIP},pets,5,0,ft,1e-4,0.5,0.5"
    taken(tmp_path, first)
    found = taken(tmp_path, f"{first}\n{CLIP},pets,5,1,ft,1e-4,0.5,0.6", name="b")
    assert [score.draw for score in found.scores] == ["0", "1"]
    with pytest.raises(StudyError, match=r"c.csv:2: test_top1: 0.7 contradicts 0.5 of .*a.csv:2"):
        imported(tmp_path, f"{CLIP},pets,5,0,ft,1e-4,0.5,0.7", name="c")


def test_a_study_that_changes_until_it_contradicts_is_named_with_the_way_out(
    tmp_path: Path,
) -> None:
    taken(
        tmp_path, "clip sans 8k,clip,RN50,other,8000,8000,pets,5,0,ft,1e-3,0.5,0.5",
        header=f"label,{HEADER}",
    )  # fmt: skip
    with pytest.raises(StoreError, match=r"other here and sans in the study's own.*--remove"):
        read_imported(StudyDir(tmp_path / "study"), own_of_tiny(tmp_path))


def test_the_rows_go_into_cells_csv_beside_the_studys_own(tmp_path: Path) -> None:
    columns = ["label", "dataset", "mode", "test_top1", "run"]
    own = {"label": "scratch", "dataset": "pets", "mode": "ft", "test_top1": "0.1", "run": "1f"}
    found = taken(tmp_path, f"{CLIP},pets,5,0,ft,1e-4,0.5,0.5")
    names, rows = found.added_to((columns, [own]))
    csv_files.write(tmp_path / "cells.csv", names, rows)
    first, second = csv_files.read(tmp_path / "cells.csv")
    assert first["label"] == "scratch" and first["lr"] == ""
    assert second["label"] == "clip laion 2.7M" and second["lr"] == "0.0001"
    assert names[: len(columns)] == columns and "parent" not in names


def test_a_study_of_imported_results_alone_has_nothing_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: elsewhere\n")
    plan = make_plan(load_study(path))
    own = own_study(StudyFacts(), read_parts(plan, Store(tmp_path), RecordCache()))
    assert own == NOTHING


def test_imported_results_take_part_in_every_table(tmp_path: Path) -> None:
    study, plan, store = fabricated.make(tmp_path)
    fabricated.record_all(store, plan.runs)
    folder = store.study(study.name)
    own = own_study(plan.facts, read_parts(plan, store, RecordCache()))
    path = tmp_path / "a.csv"
    draws = "".join(
        f"clip,RN50,serif,8000,8000,digits,1,{draw},ft,{lr},0.5{draw},0.6{draw}\n"
        for draw in range(3)
        for lr in ("1e-4", "1e-2")
    )
    path.write_text(f"{HEADER}\n{draws}")
    take_in(path, folder, own)
    found = collect(plan, store, folder.summary, folder)
    tables = {name: csv_files.read(path) for name, path in found.files.items()}
    assert (found.cells, found.cells_complete, found.imported) == (36, 36, 3)
    cells = [row for row in tables["cells"] if row["label"] == "clip serif 8k"]
    assert [(row["run"], row["lr"], row["test_top1"]) for row in cells] == [
        ("imported", "0.0001", f"0.6{draw}0000") for draw in range(3)
    ]
    (mean,) = (row for row in tables["averages"] if row["label"] == "clip serif 8k")
    assert (mean["mean"], mean["n"], mean["target"]) == ("0.610000", "3", "E1")
    between = [
        row for row in tables["gaps"] if {row["a"], row["b"]} == {"clip sans 8k", "clip serif 8k"}
    ]
    assert {(row["axis"], row["dataset"], row["draws"]) for row in between} >= {
        ("source", "digits", "3")
    }


def reported(tmp_path: Path) -> LaunchedStudy:
    """A study whose runs are all done, with tables and a report."""
    study, plan, store = fabricated.make(tmp_path)
    fabricated.record_all(store, plan.runs)
    folder = store.study(study.name)
    collect(plan, store, folder.summary, folder)
    folder.report.touch()
    return LaunchedStudy(study, plan, store, Site(), None)


def test_a_report_is_not_current_after_an_import_or_its_removal(tmp_path: Path) -> None:
    launched = reported(tmp_path)
    plan, store = launched.plan, launched.store
    folder = store.study(launched.study.name)
    assert is_report_current(launched)
    imported_now = folder.imported / "a.csv"
    imported_now.parent.mkdir()
    imported_now.touch()
    for path in (folder.report, *folder.summary.iterdir()):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    for path in (store.run(run.id).record for run in plan.runs):
        os.utime(path, (900_000_000, 900_000_000))
    assert not is_report_current(launched)
    imported_now.unlink()
    assert not is_report_current(launched)
    os.utime(folder.imported, (900_000_000, 900_000_000))
    assert is_report_current(launched)


def test_a_report_is_not_current_where_a_run_has_gone_since(tmp_path: Path) -> None:
    launched = reported(tmp_path)
    plan, store = launched.plan, launched.store
    assert is_report_current(launched)
    shutil.rmtree(store.run(plan.of("finetune")[0].id).path)
    assert not is_report_current(launched)
