"""The site file: what is particular to a cluster."""

import pwd
from pathlib import Path

import pytest

from hpc_xfer.config.dataset_cards import SplitCounts
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.released.released_entry import ReleasedEntry
from hpc_xfer.config.site import Site, Slurm, find_site_file, load_site
from hpc_xfer.errors import StudyError
from tests.conftest import ROOT


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_site_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("SCRATCH", "/scratch/ann")
    text = """
store: ../store
sources: {a: shards/a, b: "${SCRATCH}/b"}
datasets: {dtd: ~/dtd}
released: {mine: w.pt}
"""
    folder = tmp_path / "etc"
    found = load_site(written(folder / "site.yaml", text))
    assert found.variables == {"SCRATCH": "/scratch/ann"}
    expected = Site(
        store=str(tmp_path / "store"),
        sources={"a": str(folder / "shards/a"), "b": "/scratch/ann/b"},
        datasets={"dtd": "/home/ann/dtd"},
        released={"mine": str(folder / "w.pt")},
    )
    assert found.model_dump() == expected.model_dump()


def test_released_weights_may_state_what_their_file_does_not_tell(tmp_path: Path) -> None:
    text = """
released:
  openai: w/RN50.pt
  mine: {path: mine.pt, key: ema, activation: gelu, size: 288, mean: [0, 0, 0], std: [1, 1, 1]}
"""
    site = load_site(written(tmp_path / "site.yaml", text))
    assert site.weights("openai") == ReleasedEntry(path=str(tmp_path / "w/RN50.pt"))
    mine = site.weights("mine")
    assert mine is not None and mine.normalization == ((0, 0, 0), (1, 1, 1))
    assert (mine.path, mine.key) == (str(tmp_path / "mine.pt"), "ema")
    assert (mine.size, mine.activation) == (288, "gelu")
    assert site.weights("tag") is None


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("{path: w.pt, mean: [0.5, 0.5, 0.5]}", "mean and std belong together"),
        ("{path: w.pt, mean: [123, 116, 103], std: [58, 57, 57]}", "divide by 255"),
        ("{path: w.pt, mean: [0, 0, 0], std: [0, 0, 0]}", "std must be greater than 0"),
        ("{path: w.pt, mean: [0, 0], std: [1, 1]}", "list of 3"),
        ("{path: w.pt, activation: relu}", "'gelu' or 'quick_gelu'"),
        ("{path: w.pt, image_size: 224}", "unknown key"),
        ("https://hub/w.pt", "is not on a disk; download it and write its path"),
        ("hf-hub:laion/x", "is not on a disk; download it and write its path"),
        ('""', "is empty"),
    ],
)
def test_a_statement_on_weights_that_cannot_be_is_refused(
    entry: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(StudyError) as caught:
        load_site(written(tmp_path / "site.yaml", f"released:\n  mine: {entry}\n"))
    assert "released.mine" in str(caught.value) and told in str(caught.value)


def test_paths_of_data_sets_are_relative_to_the_site_file_in_every_form(tmp_path: Path) -> None:
    text = """
datasets:
  pets: sets
  cats: imagefolder:cats
  dogs: "webdataset:wds/{split}"
  flowers: torchvision:Flowers102:tv
  torchvision:Food101: /data/tv
  eurosat: {path: sets, counts: {train: 30, test: 10}, templates: ["{} from above"]}
"""
    site = load_site(written(tmp_path / "site.yaml", text))
    assert {name: site.dataset(name) for name in site.datasets} == {
        "pets": Location("folder", tmp_path / "sets"),
        "cats": Location("imagefolder", tmp_path / "cats"),
        "dogs": Location("webdataset", tmp_path / "wds/{split}"),
        "flowers": Location("torchvision", tmp_path / "tv", "Flowers102"),
        "torchvision:Food101": Location("torchvision", Path("/data/tv"), "Food101"),
        "eurosat": Location(
            "folder",
            tmp_path / "sets",
            templates=("{} from above",),
            counts=SplitCounts(train=30, test=10),
        ),
    }
    assert site.dataset("dtd") is None


def test_mistakes_in_the_long_form_of_a_data_set_are_told_with_their_lines(tmp_path: Path) -> None:
    text = "datasets:\n  a: {pathh: x}\n  b: {path: x, templates: [a photo]}\n  c: 3\n"
    text += "  d: torchvision:DTD\n  e: 'webdataset:'\n  f: webdataset:https://x.org/wds\n"
    path = written(tmp_path / "s.yaml", text)
    with pytest.raises(StudyError) as caught:
        load_site(path)
    told = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    assert told == [
        "s.yaml:2: datasets.a.pathh: unknown key; did you mean 'path'?",
        "s.yaml:3: datasets.b.templates.0: 'a photo' must have {} once, where the class goes",
        "s.yaml:4: datasets.c: must be a word or a mapping, got 3",
        "s.yaml:5: datasets.d: 'torchvision:DTD' lacks a part; write torchvision:CLASS:ROOT",
        "s.yaml:6: datasets.e: 'webdataset:' names no path; write one after the colon",
        "s.yaml:7: datasets.f: 'webdataset:https://x.org/wds' is not on a disk; download it and "
        "write its path",
    ]


def test_a_user_without_a_home_has_no_personal_file_and_other_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container may run us as a number that has no entry in its passwd."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    assert load_site(None) == Site()
    path = written(tmp_path / "site.yaml", "datasets: {dtd: ~/dtd}\n")
    assert load_site(path).datasets == {"dtd": str(tmp_path / "~/dtd")}  # absent, as preflight says


def test_the_given_file_comes_before_the_variable_and_that_before_the_personal_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HPC_XFER_SITE", raising=False)
    assert find_site_file(None) is None
    assert load_site(None) == Site()
    personal = written(tmp_path / ".config/hpc_xfer/site.yaml", "store: /personal\n")
    assert find_site_file(None) == personal
    named = written(tmp_path / "named.yaml", "store: /named\n")
    monkeypatch.setenv("HPC_XFER_SITE", str(named))
    assert load_site(None).store == "/named"
    assert load_site(written(tmp_path / "given.yaml", "store: /given\n")).store == "/given"


def test_a_named_file_that_is_absent_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPC_XFER_SITE", str(tmp_path / "gone.yaml"))
    with pytest.raises(StudyError, match=r"gone\.yaml: no such file; name an existing one"):
        load_site(None)


def test_all_mistakes_are_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "s.yaml", "stor: /x\nsources:\n  a: 3\ndatasets: [dtd]\nstore: 1\n")
    with pytest.raises(StudyError) as caught:
        load_site(path)
    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines() == [
        "s.yaml:1: stor: unknown key; did you mean 'store'?",
        "s.yaml:3: sources.a: must be a word, got 3; write '3' in quotes",
        's.yaml:4: datasets: must be a mapping, got ["dtd"]',
        "s.yaml:5: store: must be a word, got 1; write '1' in quotes",
    ]


def test_the_three_examples_are_site_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ada")
    for name in ("gpu", "a100", "cpu"):
        assert load_site(ROOT / f"sbatch/sites/{name}.yaml").slurm != Slurm()


def test_jobs_have_time_before_they_are_told_to_save(tmp_path: Path) -> None:
    path = written(tmp_path / "s.yaml", "slurm: {max_minutes: 10, signal_seconds: 540}\n")
    with pytest.raises(StudyError) as refused:
        load_site(path)
    assert str(refused.value) == (
        f"{path}:1: slurm: max_minutes: 10 is too short: Slurm sends the signal to save 540 s "
        "before the end, or up to a minute earlier; set max_minutes to 11 or more, or lower "
        "signal_seconds"
    )
    path.write_text("slurm: {max_minutes: 11, signal_seconds: 540}\n")
    assert load_site(path).slurm.max_minutes == 11


def test_memory_and_time_have_units(tmp_path: Path) -> None:
    text = """\
slurm:
  memory_per_gpu: 60GB
  max_memory_per_gpu: 0.25T
  gpu_memory: 81920MB
  max_minutes: 1-12:00:00
  hang_minutes: 90s
  relay: {minutes: 1h, memory: 512MB}
  setup: module load cuda
  exclude: node7
"""
    slurm = load_site(written(tmp_path / "s.yaml", text)).slurm
    assert (slurm.memory_per_gpu, slurm.max_memory_per_gpu, slurm.gpu_memory) == (60, 256, 80)
    assert (slurm.max_minutes, slurm.hang_minutes) == (2160, 1.5)
    assert (slurm.relay.minutes, slurm.relay.memory) == (60, 0.5)
    assert (slurm.setup, slurm.exclude) == (("module load cuda",), ("node7",))


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        (
            "partition",
            '"gpu\\n#SBATCH --uid=0"',
            "has characters not allowed in an sbatch option; remove them",
        ),
        ("setup", '["module load a\\nrm -r /"]', "must be one line"),
        (
            "environment",
            "{A-B: 1x}",
            "cannot name an environment variable; use letters, digits and _",
        ),
        ("environment", "{HPC_XFER_DEVICE: gpu}", "names no device; set cuda or cpu"),
        ("gpu_option", "gpus", "gpus-per-node"),
        ("gpus_per_nod", "4", "did you mean 'gpus_per_node'?"),
        ("max_memory_per_gpu", "4.0", "must be at least memory_per_gpu, which must be given too"),
        (
            "memory_per_gpu",
            "60Gb",
            "'60Gb' is ambiguous: the b of Gb can mean bits or bytes; write 60GB for bytes",
        ),
        ("max_minutes", "90s", "max_minutes: '90s' is 1.5 minutes; write whole minutes"),
        ("max_minutes", "3", "set max_minutes to 4 or more, or lower signal_seconds"),
    ],
)
def test_a_mistake_about_slurm_is_one_sentence(
    tmp_path: Path, key: str, value: str, why: str
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(f"slurm: {{{key}: {value}}}\n")
    with pytest.raises(StudyError) as refused:
        load_site(path)
    assert why in str(refused.value) and str(refused.value).startswith(f"{path}:1: slurm")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("mem-per-gpu: 4G", "options.mem-per-gpu: jobs rely on this option; set memory_per_gpu"),
        ("time: '60'", "set `minutes` under `resources` in the grid, or max_minutes here"),
        ("clusters: gpu", "options.clusters: jobs rely on this option; set slurm.cluster"),
        ("export: NONE", "set `environment`, or lines of `setup` such as `module purge`"),
        ("signal: USR2@30", "set signal_seconds"),
        ("cpus_per_task: '4'", "set cpus_per_gpu"),  # as submitit writes it
        ("ntasks-per-node: '4'", "set gpus_per_node, and `gpus` under `resources` in the grid"),
        ("no-requeue: x", "set max_minutes or signal_seconds"),
        ("mem-per-g: 4G", "sbatch reads it as mem-per-gpu"),  # it completes what is unique
        ("n: '4'", "sbatch reads it as ntasks: jobs rely on this option"),
        ("w: n7", "'w' is not the long name of an sbatch option"),
        ("gpu-bind: closest", "NCCL reaches only those that it sees; leave it out"),
        ("comment=x: y", "'comment=x' is not the long name of an sbatch option"),
        ("comment: 'a b'", "has characters not allowed in an sbatch option"),
        ("gres: 'nvme:1,gpu:4'", "names GPUs; set gpu_option: gres, gpu_type and gpus_per_node"),
    ],
)
def test_an_option_that_jobs_rely_on_is_refused_with_the_way_out(
    tmp_path: Path, options: str, why: str
) -> None:
    path = written(tmp_path / "s.yaml", f"slurm:\n  options:\n    {options}\n")
    with pytest.raises(StudyError) as refused:
        load_site(path)
    assert why in str(refused.value) and "\n" not in str(refused.value)


def test_another_gres_beside_the_gpus_is_an_option_like_any_other(tmp_path: Path) -> None:
    path = written(tmp_path / "s.yaml", "slurm: {options: {gres: 'nvme:100', mail-type: END}}\n")
    assert load_site(path).slurm.options == {"gres": "nvme:100", "mail-type": "END"}
    path.write_text("slurm: {gpu_option: gres, options: {gres: 'nvme:100'}}\n")
    with pytest.raises(StudyError, match="set gpu_option: gpus-per-node to add it"):
        load_site(path)


def test_options_of_the_relay_follow_the_same_rule(tmp_path: Path) -> None:
    path = written(tmp_path / "s.yaml", "slurm: {relay: {options: {nice: '5', gres: 'gpu:1'}}}\n")
    assert load_site(path).slurm.relay.options == {"nice": "5", "gres": "gpu:1"}
    path.write_text("slurm: {relay: {options: {mem: 4G, gpus: '1'}}}\n")
    with pytest.raises(StudyError) as refused:
        load_site(path)
    assert str(refused.value).replace(str(path), "s").splitlines() == [
        "s:1: slurm.relay.options.mem: jobs rely on this option; set `memory` of the relay",
        "s:1: slurm.relay.options.gpus: jobs rely on this option; the relay has no GPU; where the "
        "partition wants one in each job, write `gres`",
    ]


@pytest.mark.parametrize("name", ["all", "'a,b'", "'-x'", "''"])
def test_a_site_names_one_cluster(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "s.yaml", f"slurm: {{cluster: {name}}}\n")
    with pytest.raises(StudyError, match="is not the name of one cluster"):
        load_site(path)
