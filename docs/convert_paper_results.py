"""Convert the published results of "The Role of Pre-training Data in Transfer Learning".

python docs/convert_paper_results.py Hyperparameters_results.csv paper.csv

The input is your copy of the authors' file: a row per pre-training, data set and hyper-parameters,
a column per shot count, tab separated. The output has a row per result, for `hpc_xfer.import`.
docs/paper_results.md says what to know about these numbers.
"""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

SHOTS = ("1", "5", "10", "20", "100", "200", "full")
COLUMNS = (
    "method", "arch", "source", "samples", "samples_seen", "dataset", "shots", "mode",
    "lr", "weight_decay", "epochs", "batch", "attempt", "test_top1", "n_test", "line",
)  # fmt: skip
IMAGENET = 1_281_167
# Their name of a pre-training -> source and samples; the epochs are a column.
PRETRAININGS = {
    "CC3m": ("cc3m", 2_700_000),
    "CC12m": ("cc12m", 2_700_000),
    "Redcaps2.7m": ("redcaps", 2_700_000),
    "WIT2.7m": ("wit", 2_700_000),
    "Shutterstock2.7m": ("shutterstock", 2_700_000),
    "YFCC_0.5m": ("yfcc", 500_000),
    "YFCC2.7m": ("yfcc", 2_700_000),
    "YFCC15m": ("yfcc", 15_000_000),
    "LAION1m": ("laion", 1_000_000),
    "LAION2.7m": ("laion", 2_700_000),
    "LAION5m": ("laion", 5_000_000),
    "LAION7.5m": ("laion", 7_500_000),
    "LAION9.6m": ("laion", 9_600_000),
    "LAION15m": ("laion", 15_000_000),
    "LAION400m": ("laion", 400_000_000),
    "LAION2B": ("laion", 2_000_000_000),
    "OpenAI400m": ("openai", 400_000_000),
    "IN1K-Captions": ("imagenet-captions", 463_622),  # titles and tags of Flickr
    "IN_1K_CLIP_captions": ("imagenet", IMAGENET),  # sentences around the class name
    "IN1K": ("imagenet", IMAGENET),
    "Scratch": ("", None),
}
METHODS = {
    "CLIP": ("clip", "ft"),
    "CLIP_LP-FT": ("clip", "lp-ft (probe trained on test images)"),
    "SimCLR_LP-FT": ("simclr", "lp-ft (probe trained on test images)"),
    "Supervised": ("supervised", "ft"),
}
ARCHITECTURES = {"RN50": "RN50", "VITB32": "ViT-B-32"}
# Their name of a data set -> ours, its test images, and its classes where the test set was cut to
# as many images per class as there are shots.
DATASETS = {
    "CIFAR100": ("cifar100", 10_000, None),
    "DTD": ("dtd", 1_880, None),
    "CALTECH101": ("caltech101", 6_084, None),
    "PETS": ("pets", 3_669, None),
    "REAL": ("real", 52_041, 345),
    "CLIPART": ("clipart", 14_604, 345),
    "EuroSAT": ("eurosat", 5_400, 10),
    "CassavaLeafDisease": ("cassava", 4_280, 5),
    "CameraTraps": ("cct20", 15_215, 15),
}
# Rows that repeat others under another name, rounded: training from scratch as LAION of size 0, and
# ViT-B/32 on LAION-2B as RN50.
COPIES = {("RN50", "LAION0m"), ("RN50", "LAION2B")}
SUBSET = "-subset"  # ends the name of a data set whose test set was cut

Result = dict[str, object]


def results(rows: Iterable[Mapping[str, str]]) -> Iterator[Result]:
    """Yield a result for each accuracy of the authors' rows, whose first line is 2."""
    tried: dict[tuple[object, ...], list[object]] = {}
    for line, row in enumerate(rows, start=2):
        if (row["arch"], row["us"]) in COPIES:
            continue
        for shots in SHOTS:
            if (row[shots] or "").strip().lower() in ("", "nan"):
                continue
            result = _result(row, shots, line)
            # A second, different accuracy of one setting is another attempt at it.
            key = tuple(
                value for name, value in result.items() if name not in ("test_top1", "line")
            )
            known = tried.setdefault(key, [])
            if result["test_top1"] not in known:
                known.append(result["test_top1"])
            yield result | {"attempt": known.index(result["test_top1"]) + 1}


def _result(row: Mapping[str, str], shots: str, line: int) -> Result:
    method, mode = METHODS[row["loss"]]
    source, samples = PRETRAININGS[row["us"]]
    dataset, n_test, classes = DATASETS[row["ds"]]
    is_cut = classes is not None and shots != "full"
    return {
        "method": method if source else "scratch",
        "arch": ARCHITECTURES[row["arch"]],
        "source": source,
        "samples": samples,
        "samples_seen": samples and samples * int(row["us_epochs"]),
        "dataset": f"{dataset}{SUBSET}" if is_cut else dataset,
        "shots": shots,
        "mode": mode,
        "lr": float(row["ds_lr"]),
        "weight_decay": float(row["ds_wd"]),
        "epochs": int(row["ds_epochs"]),
        "batch": int(row["ds_bs"]),
        "test_top1": round(float(row[shots]) / 100, 7),
        "n_test": classes * int(shots) if classes is not None and is_cut else n_test,
        "line": line,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("published", type=Path, help="Hyperparameters_results.csv")
    parser.add_argument("out", type=Path, help="the CSV to write")
    parser.add_argument(
        "--cut-test-sets", action="store_true", help="keep the results on a cut test set too"
    )
    args = parser.parse_args()
    with open(args.published, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    try:
        found = list(results(rows))
    except (KeyError, ValueError) as error:
        print(f"{args.published}: is not the published file: {error!r}", file=sys.stderr)
        return 2
    whole = [result for result in found if not str(result["dataset"]).endswith(SUBSET)]
    kept = found if args.cut_test_sets else whole
    with open(args.out, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    copies = sum((row["arch"], row["us"]) in COPIES for row in rows)
    again = sum(result["attempt"] != 1 for result in kept)
    print(f"results: {len(kept):,} (second attempts at the same setting: {again})")
    print(f"results on a cut test set: {len(found) - len(whole):,}, ", end="")
    print("kept" if args.cut_test_sets else "left out; --cut-test-sets keeps them")
    print(f"rows left out, which copy others: {copies}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
