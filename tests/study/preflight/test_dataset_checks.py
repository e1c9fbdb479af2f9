"""Faults of data sets that are known before anything runs."""

from pathlib import Path

from hpc_xfer.config.dataset_location import DatasetEntry
from hpc_xfer.config.site import Site
from tests.fabricated import image_folder, source
from tests.official_copies import make
from tests.study.preflight.checking import ANIMALS, dataset_notes, finetune, pretrain


def test_an_unknown_data_set_is_told_with_the_place_where_it_stands(tmp_path: Path) -> None:
    block = "{datasets: [digits, pats, birds], shots: [1], lr: 1}"
    assert finetune(tmp_path, Site(), block) == [
        "a.yaml:3: finetune.datasets.1: data set 'pats' is unknown; did you mean 'pets'?",
        "a.yaml:3: finetune.datasets.2: data set 'birds' is unknown; built in are caltech101, "
        "cassava, cct20, cifar100, clipart, digits, dtd, eurosat, mnist5k, pets, real, and any "
        "image folder can be named in the site file under `datasets`",
    ]


def test_classes_with_few_images_are_no_fault(tmp_path: Path) -> None:
    """They give what they have."""
    site = Site(datasets={"animals": str(image_folder(tmp_path / "animals", cat=10, dog=1))})
    block = "{datasets: [animals, digits], shots: [1, 200, full], lr: 1}"
    assert finetune(tmp_path, site, block) == []


def test_a_data_set_of_one_class_is_refused(tmp_path: Path) -> None:
    site = Site(datasets={"animals": str(image_folder(tmp_path / "animals", cat=10))})
    assert finetune(tmp_path, site, f"{{{ANIMALS}}}") == [
        "a.yaml:3: finetune.datasets.0: animals has one class, 'cat'; add another or name another "
        "data set"
    ]


def test_correct_data_sets_pass_whatever_their_shares_and_names_are(tmp_path: Path) -> None:
    """Five classes of which one has 61%, and folders k0 to k3: both were refused once."""
    shares = {"blight": 5, "streak": 10, "mottle": 11, "mosaic": 61, "healthy": 13}
    large = image_folder(tmp_path / "large", **shares)
    codes = image_folder(tmp_path / "codes", k0=3, k1=3, k2=3, k3=3)
    site = Site(datasets={"large": str(large), "codes": str(codes)})
    block = "{datasets: [large, codes], shots: [1, full], lr: 1, mode: [ft]}"
    assert dataset_notes(tmp_path, site, block) == [
        "data set 'codes': its class names are codes (k0, k1, ...), not words: text heads start "
        "from zero (head: auto); name the classes with class_names in the site file, or in "
        "classes.json beside the data"
    ]


def test_zero_shot_from_codes_is_told_with_the_way_out(tmp_path: Path) -> None:
    codes = image_folder(tmp_path / "codes", k0=3, k1=3)
    sources = {"sans": str(source(tmp_path / "sans"))}
    site = Site(sources=sources, datasets={"codes": str(codes)})
    rest = "finetune: {datasets: [digits, codes], shots: [1], mode: [ft, zeroshot], lr: 1}\n"
    assert pretrain(tmp_path, site, rest=rest) == [
        "a.yaml:4: finetune.datasets.1: data set 'codes': its class names are codes (k0, k1), not "
        "words, so zero-shot measures nothing; name the classes with class_names in the site file, "
        "or in classes.json beside the data, or remove mode zeroshot"
    ]
    (codes / "classes.json").write_text('{"k0": "0", "k1": "1"}')  # what is stated is believed
    assert pretrain(tmp_path, site, rest=rest) == []
    (codes / "classes.json").write_text('{"templates": ["the letter k and the number {}"]}')
    assert pretrain(tmp_path, site, rest=rest) == []


def test_test_images_that_are_training_images_are_counted_and_named(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "animals", cat=3, dog=3)
    for i, path in enumerate(sorted(folder.rglob("*.png"))):
        path.write_bytes(bytes([i]))
    (folder / "test/dog/0.png").write_bytes((folder / "train/dog/2.png").read_bytes())
    site = Site(datasets={"animals": str(folder)})
    assert dataset_notes(tmp_path, site, f"{{{ANIMALS}}}") == [
        "data set 'animals': 1 of 2 test images is byte for byte a training image too, the first "
        "test/dog/0.png; remove it from one of the two: accuracy on it is memory"
    ]


def test_a_wrong_classes_json_is_told_before_a_run(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "animals", cat=3, dog=3)
    (folder / "classes.json").write_text('{"cat": 0, "dog": 1}')
    assert finetune(tmp_path, Site(datasets={"animals": str(folder)}), f"{{{ANIMALS}}}") == [
        "a.yaml:3: finetune.datasets.0: animals/classes.json: 'cat' is 0, which is not text; write "
        'a list of names in the order of labels, or {"folder": "name", ...}, or rename the file if '
        "it is for something else"
    ]


def test_a_packaged_data_set_is_compared_with_its_card(tmp_path: Path) -> None:
    place = make("pets", tmp_path / "pets")
    block = "{datasets: [pets], shots: [1], lr: 1}"
    whole = Site(datasets={"pets": str(place.path)})
    assert finetune(tmp_path, whole, block) == [
        "a.yaml:3: finetune.datasets.0: pets: has 111 training images, expected 3,680 of pets; run "
        "`python -m hpc_xfer.datasets fetch pets`, or state `counts` in the site file if a subset "
        "is meant"
    ]
    subset = DatasetEntry(path=str(place.path), counts=place.counts)
    assert finetune(tmp_path, Site(datasets={"pets": subset}), block) == []


def test_a_data_set_of_torchvision_is_named_in_the_grid(tmp_path: Path) -> None:
    block = '{datasets: ["torchvision:Flowers102"], shots: [1], lr: 1}'
    assert finetune(tmp_path, Site(), block) == [
        "a.yaml:3: finetune.datasets.0: data set 'torchvision:Flowers102': the site file does not "
        'say where it lies; add `datasets: {"torchvision:Flowers102": ROOT}` there'
    ]
    site = Site(datasets={"torchvision:Flowers102": str(tmp_path)})
    assert finetune(tmp_path, site, block) == []


def test_a_folder_that_is_no_data_set_is_told(tmp_path: Path) -> None:
    site = Site(datasets={"animals": str(tmp_path / "gone")})
    assert finetune(tmp_path, site, f"{{{ANIMALS}}}") == [
        "a.yaml:3: finetune.datasets.0: gone: no such folder; correct data set 'animals' in the "
        "site file"
    ]


def test_a_data_set_that_several_blocks_name_is_told_once(tmp_path: Path) -> None:
    [told] = finetune(tmp_path, Site(), f"\n  - {{{ANIMALS}}}\n  - {{{ANIMALS}, mode: [lp-ft]}}")
    assert told.startswith("a.yaml:4: finetune.0.datasets.0: data set 'animals' is unknown")
