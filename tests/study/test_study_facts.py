"""A study states facts about released weights and curation; they change no run."""

from pathlib import Path

import pytest

from hpc_xfer.config.site import Site
from hpc_xfer.errors import StudyError
from hpc_xfer.results.encoder_info import EncoderInfo, encoders_of
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.preflight.check_inputs import check_inputs
from hpc_xfer.study.study_file import Study, load_study

GRID = """
name: facts
pretrain:
  - {method: clip, arch: RN50, source: yfcc, samples: 8000, epochs: 1, batch: 100}
  - {method: supervised, arch: RN50, source: imagenet, samples: 8000, epochs: 1, batch: 100}
  - {method: released, arch: ViT-B-32, weights: laion2b_s34b_b79k}
finetune: {datasets: [digits], shots: [1], draws: 1, lr: 1e-4}
"""
FACTS = """
facts:
  weights:
    laion2b_s34b_b79k: {method: clip, source: laion, samples: 2e9, samples_seen: 34e9}
  curation: {curated: [imagenet], web: [laion, yfcc]}
"""


def study_of(folder: Path, text: str) -> Study:
    path = folder / "a.yaml"
    path.write_text(text)
    return load_study(path)


def encoders(study: Study) -> dict[str, EncoderInfo]:
    return {encoder.label: encoder for encoder in encoders_of(make_plan(study)).values()}


def test_released_weights_take_part_with_what_the_study_states_of_them(tmp_path: Path) -> None:
    found = encoders(study_of(tmp_path, GRID + FACTS))["released laion2b_s34b_b79k"]
    assert (found.method, found.source, found.samples, found.samples_seen) == (
        "clip",
        "laion",
        2_000_000_000,
        34_000_000_000,
    )


def test_without_facts_nothing_is_known_of_released_weights(tmp_path: Path) -> None:
    found = encoders(study_of(tmp_path, GRID))["released laion2b_s34b_b79k"]
    assert (found.method, found.source, found.samples) == ("released", "", None)


def test_every_encoder_has_the_curation_of_its_source(tmp_path: Path) -> None:
    found = encoders(study_of(tmp_path, GRID + FACTS))
    assert {label: encoder.curation for label, encoder in found.items()} == {
        "clip yfcc 8k": "web",
        "supervised imagenet 8k": "curated",
        "released laion2b_s34b_b79k": "web",
    }


def test_facts_are_part_of_no_recipe(tmp_path: Path) -> None:
    without = make_plan(study_of(tmp_path, GRID))
    assert make_plan(study_of(tmp_path, GRID + FACTS)).runs == without.runs
    assert len({run.id for run in without.runs}) == 6


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (
            "{weights: {laion2b: {samples: 5}}}",
            "a.yaml:8: facts.weights.laion2b: no pre-training here has the weights 'laion2b'; "
            "did you mean 'laion2b_s34b_b79k'?",
        ),
        (
            "{curation: {curated: [a], web: [b, a]}}",
            "a.yaml:8: facts.curation: web names the source 'a' in curated too; keep one",
        ),
        (
            "{curation: {web: [b, b]}}",
            "a.yaml:8: facts.curation: web names the source 'b' twice; keep one",
        ),
        (
            "{curation: {web: [YFC]}}",
            "a.yaml:8: facts.curation.web: no pre-training here has the source 'YFC'; did you mean "
            "'yfcc'?",
        ),
        (
            "{weights: {laion2b_s34b_b79k: {sample: 5}}}",
            "a.yaml:8: facts.weights.laion2b_s34b_b79k.sample: unknown key; "
            "did you mean 'samples'?",
        ),
        (
            "{weights: {laion2b_s34b_b79k: {samples: many}}}",
            "a.yaml:8: facts.weights.laion2b_s34b_b79k.samples: must be a whole number, got 'many'",
        ),
        (
            "{curation: {web: {yfcc: 1}}}",
            'a.yaml:8: facts.curation.web: must be a list, got {"yfcc": 1}',
        ),
    ],
)
def test_a_wrong_fact_is_one_sentence(facts: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        study_of(tmp_path, f"{GRID}facts: {facts}\n")
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(told)


def test_the_level_of_another_source_may_be_there_for_imported_results(tmp_path: Path) -> None:
    study = study_of(
        tmp_path, f"{GRID}facts: {{curation: {{web: [yfcc15m, laion, imagenet21k]}}}}\n"
    )
    assert study.facts.curation_of("yfcc15m") == "web"


def test_a_study_of_imported_results_has_no_runs_and_says_so_at_launch(tmp_path: Path) -> None:
    study = study_of(tmp_path, "name: elsewhere\nquestion: What did they find?\n")
    assert make_plan(study).runs == ()
    with pytest.raises(StudyError, match=r"nothing to launch.*python -m hpc_xfer\.import"):
        check_inputs(study, Site())


def test_fine_tunings_need_a_pre_training_as_before(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="pretrain: is missing; add a line `pretrain: "):
        study_of(tmp_path, "name: a\nfinetune: {datasets: [digits], shots: [1]}\n")
