"""`--set KEY=VALUE` changes a grid by path, and the text that the store keeps says so."""

from pathlib import Path

import pytest

from hpc_xfer.config.recipes import Trained
from hpc_xfer.errors import StudyError
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import Study, load_study

GRID = """\
name: x
defaults: {pretrain: {precision: bf16, seed: [0, 1]}}
pretrain:
  - {method: clip, arch: RN50, source: laion, samples: 8k, epochs: 2, batch: 100}
  - {method: simclr, arch: RN50, source: laion, samples: 8k, epochs: 2, batch: 100}
  - {method: scratch, arch: RN50}
finetune:
  - {datasets: [pets], shots: [5], draws: 2, mode: ft, tune: {lr: [1e-3, 1e-4]}}
  - {datasets: [pets], shots: [5], draws: 2, mode: lp}
resources: {pretrain: {gpus: 8}}
"""


def changed(*changes: str, text: str = GRID) -> Study:
    return load_study(Path("a.yaml"), text, changes=changes)


def trained(study: Study) -> list[Trained]:
    return [recipe for recipe in study.pretrains if isinstance(recipe, Trained)]


def ids(study: Study) -> list[str]:
    return [run.id for run in make_plan(study).runs]


def test_a_path_names_one_value() -> None:
    study = changed(
        "resources.pretrain.gpus=4", "pretrain.0.batch=50", "pretrain.1.crop.scale=[0.2, 1]"
    )
    assert study.resources.pretrain.gpus == 4
    assert {(recipe.method, recipe.batch) for recipe in trained(study)} == {
        ("clip", 50), ("simclr", 100),
    }  # fmt: skip
    assert {recipe.crop.scale for recipe in trained(study)} == {(0.9, 1.0), (0.2, 1.0)}


def test_a_star_or_no_number_means_each_block_that_can_have_the_key() -> None:
    study = changed("pretrain.*.precision=fp32", "finetune.draws=3", "finetune.lr=1e-2")
    assert {recipe.precision for recipe in trained(study)} == {"fp32"}
    assert {trial.draw for trial in study.trials} == {0, 1, 2}
    assert {getattr(trial, "lr", 0.01) for trial in study.trials} == {0.01}


def test_a_length_replaces_the_other_way_to_say_it() -> None:
    study = changed("pretrain.samples_seen=[1k, 2k]")
    assert {recipe.samples_seen for recipe in trained(study)} == {1000, 2000}
    assert ids(changed("pretrain.epochs=3", text=study.text)) == ids(changed("pretrain.epochs=3"))


def test_defaults_are_changed_before_they_are_filled_in() -> None:
    study = changed("defaults.pretrain.seed=7")
    assert {getattr(recipe, "seed", None) for recipe in study.pretrains} == {7}


def test_a_file_changes_itself_by_set_and_what_is_typed_comes_after() -> None:
    text = f"{GRID}set: {{pretrain.*.precision: fp32, pretrain.0.batch: 50}}\n"
    assert ids(changed(text=text)) == ids(
        changed("pretrain.*.precision=fp32", "pretrain.0.batch=50")
    )
    again = changed("pretrain.0.batch=25", text=text)
    assert {recipe.batch for recipe in trained(again)} == {25, 100}
    assert {recipe.precision for recipe in trained(again)} == {"fp32"}


@pytest.mark.parametrize("end", ["", "\n", "set: {finetune.draws: 4}\n", "# the end"])
def test_the_text_that_the_store_keeps_gives_the_same_study(end: str) -> None:
    text = f"{GRID}{end}"
    study = changed("finetune.0.draws=5", "pretrain.0.source=la é", text=text)
    kept = changed(text=study.text)
    assert ids(kept) == ids(study) != ids(changed(text=text))
    assert study.text.startswith(text) and "set_at_launch: {" in study.text
    more = changed("finetune.0.draws=6", text=study.text)
    assert more.text.count("set_at_launch") == 1
    assert ids(changed(text=more.text)) == ids(more)


def test_the_last_change_counts_in_the_kept_text_too() -> None:
    first = changed("pretrain.*.batch=10", "pretrain.0.batch=20")
    study = changed("pretrain.*.batch=30", text=first.text)
    assert {recipe.batch for recipe in trained(study)} == {30}
    assert ids(changed(text=study.text)) == ids(study)
    typed = changed("pretrain.*.batch=10", "pretrain.0.batch=20", "pretrain.*.batch=30")
    assert {recipe.batch for recipe in trained(typed)} == {30}


def test_a_grid_in_one_bracket_keeps_what_was_typed_too() -> None:
    text = '{"name": "x", "pretrain": [{"method": "scratch", "arch": "RN50"}]\n}\n'
    study = changed("pretrain.0.seed=[1, 2]", text=text)
    assert ids(changed(text=study.text)) == ids(study)
    again = changed("pretrain.0.seed=[1, 2, 3]", text=study.text)
    assert ids(changed(text=again.text)) == ids(again) and len(ids(again)) == 3


def test_a_grid_without_changes_keeps_its_text() -> None:
    assert changed().text == GRID


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("pretrain.0.bacth=4", "unknown key; did you mean 'batch'?"),
        ("pretrian.0.batch=4", "unknown key; did you mean 'pretrain'?"),
        ("resources.pretain.gpus=4", "unknown key; did you mean 'pretrain'?"),
        ("pretrain.*.temprature=3", "unknown key; did you mean 'temperature'?"),
        ("pretrain.0.crop.scael=3", "unknown key; did you mean 'scale'?"),
        ("pretrain.7.batch=4", "pretrain has no block 7; its blocks are 0 to 2"),
        ("pretrain.label=x", None),
        ("pretrain.weights=x", "no block of pretrain can have weights; name another key"),
        ("pretrain.2.batch=4", "is not a setting of scratch, but of clip, siglip, simclr, "
         "supervised; remove it"),
        ("finetune.0.draws.5=3", "finetune.0.draws is 2, which has no keys; set finetune.0.draws "
         "itself"),
        ("resources.pretrain.gpus=0", "must be greater than 0, got 0"),
        ("pretrain.0.seed=[0, x]", "1: must be a whole number, got 'x'"),
        ("pretrain.0.batch=32k", "'32k' is ambiguous: 32,000 or 32,768; write the number in "
         "digits"),
        ("finetune.0.mode=lpp", "unknown mode 'lpp'; did you mean 'lp'?"),
        ("pretrain.*=3", "names no key; write pretrain.*.KEY"),
        ("pretrain.1=3", "must be a mapping, got 3"),
        ("finetune.draws", "is not KEY=VALUE; write --set pretrain.0.batch=512"),
        ("finetune..draws=3", "is not KEY=VALUE; write --set pretrain.0.batch=512"),
        ("finetune.draws=", "has no value; write finetune.draws=null for none"),
        ("question=[a", "is not a value of YAML; put the text in quotes"),
    ],
)  # fmt: skip
def test_a_wrong_change_is_told_as_it_was_typed(change: str, sentence: str | None) -> None:
    if sentence is None:  # captions have labels, images alone have not
        assert {getattr(recipe, "label", None) for recipe in trained(changed(change))} == {
            "x",
            None,
        }
        return
    with pytest.raises(StudyError) as caught:
        changed(change)
    assert str(caught.value).splitlines() == [f"--set {change}: {sentence}"]


def test_a_wrong_change_of_the_file_has_its_line() -> None:
    with pytest.raises(StudyError) as caught:
        changed(text=f"{GRID}set:\n  pretrain.0.bacth: 4\n  pretrain..x: 3\n  name: y\n")
    assert str(caught.value).splitlines() == [
        "a.yaml:12: set.pretrain.0.bacth: unknown key; did you mean 'batch'?",
        "a.yaml:13: set.pretrain..x: is not a path of keys; write `pretrain.0.batch: ...`",
        "a.yaml:14: set.name: is the name of the study; write it at the top level",
    ]


def test_tuned_values_take_the_place_of_one_value() -> None:
    one = changed("finetune.0.lr=3")
    for change in ("finetune.tune.lr=[1e-3, 1e-4]", "finetune.0.tune={lr: [1e-3, 1e-4]}"):
        assert ids(changed(change, text=one.text)) == ids(changed())


def test_a_block_that_is_named_by_its_name_is_told_its_number() -> None:
    named = "name: x\npretrain:\n  - {method: scratch, arch: RN50}\n"
    named += "  - {name: base, method: scratch, arch: RN101}\n"
    with pytest.raises(StudyError, match=r"numbers, from 0; write pretrain\.1\.seed"):
        changed("pretrain.base.seed=3", text=named)


def test_one_block_may_be_set_without_a_list() -> None:
    one = changed("pretrain={method: scratch, arch: RN50, seed: 3}")
    assert [recipe.method for recipe in one.pretrains] == ["scratch"]
    none = "name: x\npretrain:\n"  # what was refused without the change
    assert ids(changed("pretrain=[{method: scratch, arch: RN50, seed: 3}]", text=none))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("pretrain.-1.batch=50", "blocks are counted from 0; -1 is not a block"),
        ("pretrain[0].batch=50", "is not a path with dots; did you mean 'pretrain.0.batch'?"),
        ("set.pretrain.0.batch=50", "is the change itself; name the key that it changes"),
        (
            "x.y=50",
            "unknown key; the keys here are: choose, defaults, facts, finetune, name, pretrain, "
            "protocol, question, resources",
        ),
    ],
)
def test_a_path_that_is_none_is_refused_with_what_to_write(change: str, told: str) -> None:
    with pytest.raises(StudyError) as error:
        changed(change)
    assert str(error.value) == f"--set {change}: {told}"
