"""`import` takes a whole file or nothing, and names everything that is wrong in it."""

import csv
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_xfer import cancel, launch, status
from hpc_xfer.errors import StudyError
from hpc_xfer.study.study_file import load_study

command = importlib.import_module("hpc_xfer.import")  # `import` is a word of the language
DOCS = Path(__file__).parent.parent / "docs"
GRID = "name: elsewhere\nquestion: What did they find?\n"
HEADER = "method,arch,source,samples,dataset,shots,mode,lr,test_top1"
ROWS = """\
clip,RN50,laion,2.7e6,pets,5,ft,1e-4,0.30
clip,RN50,laion,2700000,pets,5.0,ft,1e-3,0.40
clip,RN50,yfcc,2_700_000,pets,full,ft,1e-3,0.85
"""


class Place:
    """A grid, a CSV and a store in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.grid = folder / "a.yaml"
        self.grid.write_text(GRID)
        self.results = folder / "r.csv"
        self.write(ROWS)
        self.study = folder / "store" / "studies" / "elsewhere"
        self.stored = self.study / "imported" / "r.csv"

    def write(self, rows: str, header: str = HEADER) -> None:
        self.results.write_text(f"{header}\n{rows}")

    def arguments(self, *more: str) -> list[str]:
        return [str(self.grid), "--store", str(self.folder / "store"), *more]

    def run(self, *more: str) -> int:
        code = command.main([str(self.results), *self.arguments(*more)])
        assert isinstance(code, int)
        return code

    def errors(self, *more: str) -> list[str]:
        with pytest.raises(StudyError) as caught:
            self.run(*more)
        return str(caught.value).replace(f"{self.folder}/", "").splitlines()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_results_are_copied_into_the_folder_of_the_study(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.run() == 0
    out = capsys.readouterr().out
    assert "results: 3 in 2 cells" in out
    assert "cells without val_top1, whose mode says `selected on test`: 2" in out
    assert place.study.joinpath("grid.yaml").read_text() == GRID
    with open(place.stored, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["samples"], row["shots"], row["lr"]) for row in rows] == [
        ("2700000", "5", "0.0001"),
        ("2700000", "5", "0.001"),
        ("2700000", "full", "0.001"),
    ]


def test_importing_again_changes_nothing_and_a_changed_file_replaces_it(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = []
    for rows in (ROWS, ROWS, ROWS.replace("0.85", "0.86")):
        place.write(rows)
        place.run("--json")
        changes.append(json.loads(capsys.readouterr().out)["change"])
    assert changes == ["new", "unchanged", "replaced"]
    assert "0.86" in place.stored.read_text()


def test_a_dry_run_writes_nothing(place: Place) -> None:
    assert place.run("--dry-run") == 0
    assert not (place.folder / "store").exists()


def test_remove_takes_the_results_out_again(place: Place) -> None:
    place.run()
    place.results.unlink()  # it need not be there any more
    assert place.run("--remove") == 0
    assert not place.stored.exists()
    assert "was not imported; this study has no imported results" in place.errors("--remove")[0]


def test_every_wrong_row_is_named_at_once_and_nothing_is_written(place: Place) -> None:
    place.run()
    before = place.stored.read_bytes()
    place.write(
        "clip,RN50,laion,many,pets,5,ft,1e-4,0.30\n"
        "clip,RN50,laion,2700000,,five,ft,fast,0.40\n"
        "clip,RN50,laion,2700000,pets,5,ft,1e-3\n"
        "clip,RN50,laion,2700000,pets,5,ft,1e-3,\n"
        "clip,RN50,laion,2700000,pets,5,ft,1e-3,-0.1\n"
        ",RN50,laion,2700000,pets,5,ft,1e-3,0.4\n"
    )
    assert place.errors() == [
        "r.csv:2: samples: must be a whole number above 0, in digits, got 'many'",
        "r.csv:3: dataset: is empty; give it a value",
        "r.csv:3: shots: must be a number of images per class, or full, got 'five'",
        "r.csv:3: lr: must be a number, got 'fast'; a setting in words belongs in the mode",
        "r.csv:4: has 8 values for 9 columns; write one for each, empty where there is none",
        "r.csv:5: test_top1: is empty; give it a value",
        "r.csv:6: test_top1: -0.1 is not an accuracy from 0 to 1",
        "r.csv:7: method: is empty; give it a value",
        "r.csv: nothing was imported",
    ]
    assert place.stored.read_bytes() == before


def test_of_many_errors_the_first_20_are_told_and_all_are_counted(place: Place) -> None:
    place.write("".join(f"clip,RN50,a,{n},pets,5,ft,1e-4,x\n" for n in range(1, 1501)))
    errors = place.errors()
    assert len(errors) == 22
    assert errors[19].startswith("r.csv:21: ")
    assert errors[20] == "r.csv: 1,500 errors in all, of which these are the first"


def test_percent_must_be_said_and_shares_must_not_be_called_percent(place: Place) -> None:
    place.write("clip,RN50,a,5,pets,5,ft,1e-4,65.266\n")
    assert place.errors()[0] == (
        "r.csv:2: test_top1: 65.266 is above 1; give --percent if accuracies are percent"
    )
    assert place.run("--percent") == 0
    assert place.stored.read_text().splitlines()[1].split(",")[12] == "0.65266"
    place.write("clip,RN50,a,5,pets,5,ft,1e-4,0.65\n")
    assert place.errors("--percent")[0] == (
        "r.csv: no accuracy is above 1, so these are shares; leave --percent out"
    )


@pytest.mark.parametrize(
    ("accuracy", "way"), [("0,4", "write a decimal point"), ("40%", "give --percent")]
)
def test_an_accuracy_that_is_no_number_gets_its_own_way_out(
    place: Place, accuracy: str, way: str
) -> None:
    header = HEADER.replace(",", ";")
    place.write(f"clip;RN50;laion;2700000;pets;5;ft;1e-4;{accuracy}\n", header)
    assert way in place.errors()[0]


def test_equal_rows_are_counted_and_taken_once(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.write(ROWS + ROWS)
    place.run("--json")
    report = json.loads(capsys.readouterr().out)
    assert (report["results"], report["equal"]) == (3, 3)


def test_contradicting_rows_are_refused_with_both_lines(place: Place) -> None:
    place.write(ROWS + "clip,RN50,laion,2700000,pets,5,ft,1e-3,0.41\n")
    assert place.errors()[0] == (
        "r.csv:5: test_top1: 0.41 contradicts 0.4 of r.csv:3 for the same encoder, cell and tuned "
        "values; remove one, or tell them apart by a column that --tuned names"
    )


def test_a_column_that_no_table_uses_is_kept_and_named_or_tuned_on_request(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.write(
        "clip,RN50,a,5,pets,5,ft,1e-4,0.3,1\nclip,RN50,a,5,pets,5,ft,1e-4,0.4,2\n",
        HEADER + ",attempt",
    )
    assert "contradicts" in place.errors()[0]
    place.run("--tuned", "attempt", "--json")
    report = json.loads(capsys.readouterr().out)
    assert (report["results"], report["cells"], report["unused"]) == (2, 1, {})
    place.write("clip,RN50,a,5,pets,5,ft,1e-4,0.3,by hand\n", HEADER + ",remark")
    place.run()
    assert "column remark: kept, but no table uses its values" in capsys.readouterr().out
    assert "note remark" in place.stored.read_text() and "by hand" in place.stored.read_text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no rows"),
        ("dataset,shots\npets,5\n", "r.csv:1: has no column mode, which is needed"),
        ("dataset,shots,mode,top1\npets,5,ft,0.4\n", "has no column test_top1, which is needed; "
         "did you mean 'top1'?"),
        ("dataset,shots,mode,test_top1\npets,5,ft,0.4\n", "neither a column label nor"),
        ("label,label,dataset,shots,mode,test_top1\na,a,p,5,ft,0.4\n", "has 2 columns label"),
        ('label,dataset,shots,mode,test_top1\n"a,p,5,ft,0.4\n', "is not CSV"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_such_a_csv_is_one_sentence(place: Place, text: str, told: str) -> None:
    place.results.write_text(text)
    assert any(told in line for line in place.errors())


def test_other_separators_and_a_byte_order_mark_are_read(place: Place) -> None:
    for separator in ";\t":
        text = f"{HEADER}\n{ROWS}".replace(",", separator)
        place.results.write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert place.run() == 0


def test_a_study_of_imported_results_alone_has_a_state_and_nothing_to_cancel(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.run()
    assert status.main(place.arguments()) == 0
    assert cancel.main(place.arguments()) == 0
    assert "cancelled 0 jobs" in capsys.readouterr().out
    with pytest.raises(StudyError, match="nothing to launch"):
        launch.main(place.arguments())


PUBLISHED = """\
,loss,arch,us,ds,us_epochs,us_lr,us_bs,us_wd,ds_epochs,ds_lr,ds_bs,ds_wd,zero,1,5,10,20,full,100,200
0,CLIP,RN50,LAION2.7m,DTD,16,0.001,1024,0.1,128,3E-05,128,0.1,2.3,12.5,,,,60.1,,
1,CLIP,RN50,LAION2.7m,DTD,16,0.001,1024,0.1,128,3E-05,128,0.1,2.3,12.5,,,,61,,
2,CLIP,RN50,WIT2.7m,EuroSAT,16,0.001,1024,0.1,128,0.001,128,0.1,9,40,Nan,,,95,,
3,CLIP,RN50,Scratch,DTD,16,0.001,1024,0.1,128,0.001,128,0.1,2,,,,,44.628,,
4,CLIP,RN50,LAION0m,DTD,16,0.001,1024,0.1,128,0.0001,128,0.1,2,,,,,44.62,,
5,SimCLR_LP-FT,RN50,CC12m,DTD,16,0.001,1024,0.1,128,0.001,128,0.1,2,62,,,,,,
"""


def converted(published: Path, out: Path, *more: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, DOCS / "convert_paper_results.py", published, out, *more],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_the_published_results_of_the_paper_become_a_study(place: Place) -> None:
    published = place.folder / "Hyperparameters_results.csv"
    published.write_text(PUBLISHED.replace(",", "\t"))
    assert converted(published, place.results) == [
        "results: 7 (second attempts at the same setting: 1)",
        "results on a cut test set: 1, left out; --cut-test-sets keeps them",
        "rows left out, which copy others: 1",
    ]
    converted(published, place.results, "--cut-test-sets")
    place.grid.write_text((DOCS / "paper_results.yaml").read_text())
    assert load_study(place.grid).facts.curation_of("laion") == "web"
    assert place.run("--tuned", "attempt") == 0
    stored = place.folder / "store" / "studies" / "paper_results" / "imported" / "r.csv"
    with open(stored, newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("method", "dataset", "shots", "n_test", "attempt", "test_top1")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("clip", "dtd", "1", "1880", "1", "0.125"),
        ("clip", "dtd", "full", "1880", "1", "0.601"),
        ("clip", "dtd", "full", "1880", "2", "0.61"),
        ("clip", "eurosat-subset", "1", "10", "1", "0.4"),
        ("clip", "eurosat", "full", "5400", "1", "0.95"),
        ("scratch", "dtd", "full", "1880", "1", "0.44628"),
        ("simclr", "dtd", "1", "1880", "1", "0.62"),
    ]
    assert rows[-1]["mode"] == "lp-ft (probe trained on test images)"
