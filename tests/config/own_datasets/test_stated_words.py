"""Class names and prompts of the user: `classes.json` beside the data, or the site file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.config.dataset_location import Location, location_of
from hpc_xfer.config.downstream_datasets import DatasetInfo, dataset_info
from hpc_xfer.config.site import Site, load_site
from hpc_xfer.errors import DataError, StudyError, XferError
from tests.fabricated import image_folder

FISH = {"n01440764": "tench", "n01443537": "goldfish"}


@pytest.fixture
def fish(tmp_path: Path) -> Path:
    return image_folder(tmp_path / "fish", n01440764=3, n01443537=3)


def described(folder: Path, content: Any = None, **place: Any) -> DatasetInfo:
    """The info of an image folder with this classes.json."""
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / "classes.json").write_text(text, encoding="utf-8")
    return dataset_info("fish", replace(Location("imagefolder", folder), **place))


def refusal(folder: Path, content: Any = None, **place: Any) -> str:
    with pytest.raises(XferError) as caught:
        described(folder, content, **place)
    text = str(caught.value)
    assert "\n" not in text and "; " in text  # one sentence, with a way out
    return text.replace(f"{folder}/", "")


def test_without_a_statement_codes_are_codes(fish: Path) -> None:
    assert not described(fish).meaningful_names


@pytest.mark.parametrize(
    "content",
    [
        ["tench", "goldfish"],
        FISH,
        {"0": " tench", "1": "goldfish"},
        {"classes": FISH, "templates": ["a photo of a {}, a fish.", "a {c}!"]},
        "\ufeff" + json.dumps(FISH),
    ],
)
def test_a_file_beside_the_data_names_the_classes(fish: Path, content: Any) -> None:
    info = described(fish, content)
    assert info.classes == ("tench", "goldfish") and info.meaningful_names
    assert info.notes == (
        f"class names come from {fish}/classes.json, the first 'n01440764' is 'tench'",
    )
    stated = isinstance(content, dict) and "templates" in content
    prompts = ("a photo of a {}, a fish.", "a {}!") if stated else ("a photo of a {}.",)
    assert info.templates == prompts


def test_a_file_may_state_prompts_alone(fish: Path) -> None:
    info = described(fish, {"templates": ["fish of kind {}"]})
    assert info.templates == ("fish of kind {}",)
    assert info.classes == ("n01440764", "n01443537") and not info.meaningful_names


def test_folders_may_be_called_classes_and_templates(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "odd", classes=1, templates=1)
    info = described(folder, {"classes": "school classes", "templates": "stencils"})
    assert info.classes == ("school classes", "stencils")


def test_what_the_user_states_is_believed(tmp_path: Path) -> None:
    """Digits are called by their numbers in the prompts of MNIST."""
    digits = image_folder(tmp_path / "digits", a=1, b=1)
    assert described(digits, ["7", "8"]).meaningful_names


@pytest.mark.parametrize("content", [["n_1", "n_2"], {"n_1": "n 1", "n_2": "n_2"}])
def test_a_file_that_lists_the_folders_states_nothing(tmp_path: Path, content: Any) -> None:
    """Training scripts write `dataset.classes` of torchvision beside the data."""
    folder = image_folder(tmp_path / "codes", n_1=1, n_2=1)
    info = described(folder, content)
    assert info.classes == ("n 1", "n 2") and not info.meaningful_names and not info.notes
    assert described(folder, class_names=("n 1", "n 2")).meaningful_names  # on purpose


def test_a_file_that_is_a_link_which_leads_nowhere_is_told(fish: Path) -> None:
    (fish / "classes.json").symlink_to("../nothere.json")
    assert refusal(fish) == (
        "classes.json: cannot be read (No such file or directory); write UTF-8 text, or remove it"
    )


def test_the_site_file_wins(fish: Path) -> None:
    info = described(fish, {"classes": FISH, "templates": ["{}!"]}, class_names=("a", "b"))
    assert (info.classes, info.templates) == (("a", "b"), ("{}!",))
    assert info.notes == (
        f"the names in {fish}/classes.json are not used: the site file has class_names",
    )
    prompts = ("a fish: {}",)
    assert described(fish, templates=prompts).templates == prompts


def test_the_site_file_may_name_the_classes_by_folder(fish: Path, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(
        "datasets:\n  fish:\n    path: fish\n"
        "    class_names: {n01443537: goldfish, n01440764: tench}\n"
    )
    place = load_site(site).dataset("fish")
    assert place is not None and hash(place)
    assert dataset_info("fish", place).classes == ("tench", "goldfish")
    assert dataset_info("fish", place).notes == ()
    again = Site.model_validate_json(load_site(site).model_dump_json())
    assert again.dataset("fish") == place


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ("[0, 1]", "a class name is text; put 0 in quotes"),
        ("{a: ' '}", "is an empty class name; write a name"),
        ("tench", "must be a list or a mapping, got 'tench'"),
    ],
)
def test_a_site_file_with_names_that_are_none_is_refused(
    tmp_path: Path, names: str, sentence: str
) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(f"datasets:\n  fish:\n    path: fish\n    class_names: {names}\n")
    with pytest.raises(StudyError) as caught:
        load_site(site)
    assert sentence in str(caught.value)


FORM = 'write a list of names in the order of labels, or {"folder": "name", ...}'


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            {"n01440764": "tench", "n0144353": "goldfish"},
            "names 'n0144353', which is not a class of the data set; did you mean 'n01443537'?",
        ),
        (
            FISH | {"whale": "whale"},
            "names 'whale', which is not a class of the data set; correct or remove it",
        ),
        ({"n01440764": "tench"}, "has no name for class 'n01443537'; add one for each class"),
        (
            ["tench"],
            "has 1 names, but there are 2 classes; write one per class, in the order of labels",
        ),
        (
            {"n01440764": 0, "n01443537": 1},
            f"'n01440764' is 0, which is not text; {FORM}, or rename the file if it is for "
            "something else",
        ),
        (["tench", ""], "name 1 is empty; write a name"),
        ([], f"states no name; {FORM}, or remove the file"),
        ("7", f"holds 7; {FORM}"),
        ({"classes": [], "templates": []}, f"states nothing; {FORM}"),
        (
            {"classes": FISH, "prompts": []},
            "has the key 'prompts' beside classes and templates; remove it",
        ),
        ({"templates": ["a fish"]}, "the template 'a fish' must have {} once, where the class "
         "goes; correct it"),
        ({"templates": ["{} {x}"]}, "the template '{} {x}' must have {} once, where the class "
         "goes; correct it"),
        ({"classes": [1], "templates": "{}"}, "name 0 is 1, which is not text; " + FORM + ", or "
         "rename the file if it is for something else"),
        ({"templates": {"a": 1}}, 'templates is {"a": 1}; write a list of prompts'),
        ('{"a": "x", "a": "y"}', "has 'a' twice; keep one of the two"),
        (
            "[\n'tench']",
            ":2: is not JSON (Expecting value); fix that line, or rename the file if it is for "
            "something else",
        ),
        (
            ["n01443537", "N01440764"],
            "has the names of the folders in another order: 'n01443537' is at the place of folder "
            "'n01440764'; labels follow the sorted folders, so sort the names so, or write "
            "{folder: name}",
        ),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(fish: Path, content: Any, sentence: str) -> None:
    between = "" if sentence.startswith(":") else ": "
    assert refusal(fish, content) == f"classes.json{between}{sentence}"


def test_a_file_that_is_no_text_is_refused(fish: Path) -> None:
    (fish / "classes.json").write_bytes(b"\xff\xfe[")
    assert refusal(fish).startswith("classes.json: cannot be read (")


def test_names_of_the_site_file_in_a_wrong_order_are_refused(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pets", cat=1, dog=1, red_fox=1)
    told = refusal(folder, class_names=("red fox", "Cat", "dog"))
    assert told.startswith("data set 'fish': class_names in the site file has the names of the ")
    info = described(folder, class_names=("cat", "red fox", "wolf"))
    assert info.notes == (
        "1 of 3 stated names belong to other folders, the first 'red fox' for folder 'dog'; is "
        "the order right?",
    )


def test_a_list_for_folders_that_are_numbers_is_told(tmp_path: Path) -> None:
    """Sorted as text 10 comes before 2, which few people expect."""
    folder = image_folder(tmp_path / "numbers", **{str(i): 1 for i in range(11)})
    names = tuple(f"name {word}" for word in "abcdefghijk")
    assert described(folder, class_names=names).notes == (
        "folders are sorted as text, so folder '10' is class 2, called 'name c'; write {folder: "
        "name} instead of a list to be sure",
    )
    by_folder = {str(i): name for i, name in enumerate(names)}
    info = described(folder, by_folder)
    assert info.classes[:3] == ("name a", "name b", "name k")


def test_a_folder_beside_train_and_test_is_told(fish: Path) -> None:
    (fish / "val/n01440764").mkdir(parents=True)
    assert described(fish).notes == ("1 folder beside train/ and test/ left unread, the first val",)


def test_a_packaged_data_set_has_names_of_its_own(tmp_path: Path) -> None:
    site = Site.model_validate({"datasets": {"pets": {"path": "x", "class_names": {"a": "b"}}}})
    with pytest.raises(StudyError, match="has class names of its own"):
        dataset_info("pets", location_of("pets", site.datasets["pets"]))


def test_a_file_in_the_root_of_torchvision_is_read(tmp_path: Path) -> None:
    place = Location("torchvision", tmp_path, "MNIST")
    (tmp_path / "classes.json").write_text('["zero", "one"]')
    info = dataset_info("x", place)
    assert info.classes == ("zero", "one")
    assert info.notes == (f"class names come from {tmp_path}/classes.json, the first is 'zero'",)
    (tmp_path / "classes.json").write_text('["zero"]')
    with pytest.raises(DataError, match="x has one class, 'zero'"):
        dataset_info("x", place)
