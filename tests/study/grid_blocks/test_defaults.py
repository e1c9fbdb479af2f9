"""Blocks share `defaults`: the runs are those of the grid written out."""

from pathlib import Path

import pytest

from hpc_xfer.errors import StudyError
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study

SHARED = """\
name: x
defaults:
  pretrain: {arch: RN50, source: laion, samples: 1M, epochs: 16, precision: bf16, seed: [0, 1]}
  finetune: {datasets: pets, shots: 5, draws: 2, precision: bf16, tune: {lr: [1e-3, 1e-4]}}
pretrain:
  - {method: clip, samples: [1M, 2.7M]}
  - {method: simclr, samples_seen: 2M, batch: 512}
  - {method: scratch}
finetune:
  - {mode: ft}
  - {mode: lp, draws: 3}
  - {mode: lp-ft, lr: 1e-3}
"""
WRITTEN_OUT = """\
name: x
pretrain:
  - method: clip
    arch: RN50
    source: laion
    samples: [1_000_000, 2_700_000]
    epochs: 16
    precision: bf16
    seed: [0, 1]
  - method: simclr
    arch: RN50
    source: laion
    samples: 1000000
    samples_seen: 2000000
    batch: 512
    precision: bf16
    seed: [0, 1]
  - {method: scratch, arch: RN50, seed: [0, 1]}
finetune:
  - {datasets: [pets], shots: [5], draws: 2, mode: [ft], precision: bf16, tune: {lr: [1e-3, 1e-4]}}
  - {datasets: [pets], shots: [5], draws: 3, mode: [lp], precision: bf16}
  - {datasets: [pets], shots: [5], draws: 2, mode: [lp-ft], precision: bf16, lr: 1e-3}
"""
BLOCKS = """\
pretrain:
  - {method: clip, arch: RN50, source: laion, samples: 8k, epochs: 1, batch: 100}
  - {method: scratch, arch: RN50}
finetune: {datasets: pets, shots: 5, mode: lp}
"""


def ids(text: str) -> list[str]:
    return sorted(run.id for run in make_plan(load_study(Path("a.yaml"), text)).runs)


def refusal(defaults: str, blocks: str = BLOCKS) -> list[str]:
    """The sentences on a grid whose defaults stand in its line 2."""
    with pytest.raises(StudyError) as caught:
        load_study(Path("a.yaml"), f"name: x\ndefaults: {defaults}\n{blocks}")
    return str(caught.value).splitlines()


def test_a_grid_with_defaults_makes_the_runs_of_the_grid_written_out() -> None:
    assert ids(SHARED) == ids(WRITTEN_OUT)
    assert len(ids(SHARED)) == 8 + 8 * (4 + 3 + 2)


def test_a_default_may_name_the_method_and_the_mode() -> None:
    blocks = BLOCKS.replace("method: clip, ", "").replace(", mode: lp", "")
    shared = "{pretrain: {method: clip}, finetune: {mode: [lp]}}"
    assert ids(f"name: x\ndefaults: {shared}\n{blocks}") == ids(f"name: x\n{BLOCKS}")


@pytest.mark.parametrize(
    ("defaults", "sentence"),
    [
        (
            "{pretrain: {temperature: 0.2}}",
            "defaults.pretrain.temperature: is taken by no block, since only simclr has it; remove "
            "it",
        ),
        (
            "{pretrain: {batch: 512}}",
            "defaults.pretrain.batch: each block that could take it has its own; remove it here",
        ),
        (
            "{pretrain: {samples_seen: 5k}}",
            "defaults.pretrain.samples_seen: each block that could take it has its own; remove it "
            "here",
        ),
        ("{pretrain: {bacth: 512}}", "defaults.pretrain.bacth: unknown key; did you mean 'batch'?"),
        (
            "{pretrain: {precision: [bf16, half]}}",
            "defaults.pretrain.precision.1: must be 'fp32', 'tf32', 'bf16' or 'fp16', got 'half'",
        ),
        (
            "{finetune: {tune: {lr: [1, 2]}}}",
            "defaults.finetune.tune: is taken by no block, since no mode here has it; remove it",
        ),
        (
            "{batch: 512}",
            "defaults.batch: is a key of pretrain and finetune; write `defaults: {pretrain: "
            "{batch: ...}}`",
        ),
        ("{gpus: 8}", "defaults.gpus: unknown key; the keys here are: finetune, pretrain"),
        ("{pretrain: bf16}", "defaults.pretrain: must be a mapping, got 'bf16'"),
        ("bf16", "defaults: must be a mapping with pretrain or finetune, got 'bf16'"),
    ],
)  # fmt: skip
def test_a_wrong_default_gets_one_sentence_at_its_own_line(defaults: str, sentence: str) -> None:
    assert refusal(defaults) == [f"a.yaml:2: {sentence}"]


def test_a_wrong_value_is_told_once_for_all_blocks_that_take_it() -> None:
    blocks = BLOCKS.replace("{method: scratch, arch: RN50}", "{method: released, weights: openai}")
    blocks = blocks.replace("arch: RN50, source", "source")
    assert refusal("{pretrain: {arch: RN51}}", blocks) == [
        "a.yaml:2: defaults.pretrain.arch: no architecture is called 'RN51'; did you mean 'RN50'?"
    ]
