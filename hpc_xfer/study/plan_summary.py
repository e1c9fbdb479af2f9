"""Summarize a plan before anything runs: shared settings once, different ones per row."""

from typing import TYPE_CHECKING, Any

from hpc_xfer.config.finetune_recipes import Finetune, ZeroShot
from hpc_xfer.study.disk.cache_use import CacheUse
from hpc_xfer.study.disk.disk_use import pretrain_disk
from hpc_xfer.study.labels import label_columns, pretrain_labels, run_label
from hpc_xfer.study.plan import Pack, Plan, Run, pretrain_runs
from hpc_xfer.study.study_file import Study
from hpc_xfer.study.summary.settings_lines import (
    finetuning_lines,
    pretraining_lines,
    read_cell,
    setting,
)
from hpc_xfer.system import terminal

if TYPE_CHECKING:  # takes 40 ms, which --help and --json need not
    from rich.console import RenderableType
    from rich.table import Table

_RECORD = 6_000  # bytes of a fine-tuning: recipe, record, claims, hits


def as_json(study: Study, plan: Plan, done: set[str]) -> dict[str, Any]:
    """The summary for scripts."""
    todo = plan.without(done)
    labels = pretrain_labels(plan.of("pretrain"))
    return {
        "schema": 1,
        "study": study.name,
        "counts": counts(plan, done),
        "gpu_hours": gpu_hours(todo),
        "minutes_from": minutes_from(todo),
        "disk_bytes": disk_bytes(todo),
        "cache_bytes": cache_bytes(todo),
        "runs": [
            {
                "run": run.id,
                "kind": run.kind,
                "label": run_label(run, labels),
                "parents": [parent.id for parent in run.parents],
                "done": run.id in done,
                "recipe": run.spec,
            }
            for run in plan.runs
        ],
        "packs": [
            {
                "pack": pack.id,
                "wave": number,
                "kind": pack.kind,
                "gpus": pack.gpus,
                "minutes": pack.minutes,
                "runs": [run.id for run in pack.runs],
            }
            for number, wave in enumerate(todo.waves)
            for pack in wave
        ],
    }


def counts(plan: Plan, done: set[str]) -> dict[str, int]:
    todo = plan.without(done)
    return {
        "runs": len(plan.runs),
        "done": len(plan.runs) - len(todo.runs),
        "to_do": len(todo.runs),
        "packs": sum(len(wave) for wave in todo.waves),
    }


def minutes_from(plan: Plan) -> str:
    """Say where the minutes of the fine-tunings come from."""
    costs, given = plan.costs, plan.resources.finetune.minutes
    if given is not None or costs is None:
        return "given" if given is not None else "assumed"
    if costs.measured_runs:
        return f"from {terminal.counted(costs.measured_runs, 'finished run')}, else estimated"
    missing = costs.uncounted(str(run.spec["dataset"]) for run in plan.of("finetune"))
    more = f", with the size of {', '.join(missing)} assumed" if missing else ""
    return f"estimated for {costs.speed.flops / 1e12:g} TFLOP/s{more}"


def gpu_hours(plan: Plan) -> float:
    """Estimate an upper limit from the minutes of the packs."""
    return sum(pack.minutes * pack.gpus for wave in plan.waves for pack in wave) / 60


def disk_bytes(plan: Plan) -> int | None:
    """Estimate the peak without the cache: encoders, snapshots, all checkpoints; see study/disk/.

    None if weights cannot be counted.
    """
    total = 0.0
    for run in plan.runs:
        if isinstance(run.recipe, Finetune):
            total += _RECORD
            continue
        disk = pretrain_disk(run.recipe)
        if disk is None:
            return None
        total += disk.final.high + disk.while_running
    return int(total)


def cache_bytes(plan: Plan) -> int:
    """Estimate the cache of the store; 0 without an estimate. A full disk leaves it out."""
    cache = CacheUse()
    if plan.costs is not None:
        cache.add(plan, plan.costs)
    return cache.bytes


def render(study: Study, plan: Plan, done: set[str]) -> "RenderableType":
    """Make two tables, pre-training and fine-tuning, with what their rows share."""
    from rich.console import Group

    from hpc_xfer.system.screen.plain_console import line

    todo = plan.without(done)
    number = counts(plan, done)
    parts: list[RenderableType] = [_title(study)]
    if plan.of("pretrain"):
        rows = [run.columns for run in plan.of("pretrain")]
        columns = _differing(rows)
        parts.append(_pretrain_table(plan, todo, done, columns))
        parts += map(line, pretraining_lines(rows, columns))
    if plan.of("finetune"):
        parts += [_finetune_table(plan, todo, done), *map(line, finetuning_lines(plan))]
    parts += [line(note) for note in _notes(study, plan)]
    disk, cache = disk_bytes(todo), cache_bytes(todo)
    more = f" and {terminal.size(cache)} of cache" if cache else ""
    parts.append(
        line(
            f"{terminal.counted(number['runs'], 'run')}, {number['done']:,} done, "
            f"{number['to_do']:,} to do in {terminal.counted(number['packs'], 'pack')}; "
            f"at most {gpu_hours(todo):,.1f} GPU-hours, "
            f"{'disk unknown' if disk is None else terminal.size(disk) + ' of disk'}{more}"
        )
    )
    return Group(*parts)


def _title(study: Study) -> "RenderableType":
    from hpc_xfer.system.screen.plain_console import line

    question = " ".join(study.question.split())  # a block of YAML ends with a line break
    return line(f"{study.name}: {question}".rstrip(": "))


def _notes(study: Study, plan: Plan) -> list[str]:
    """Say what the plan leaves out, and what is not the standard protocol."""
    notes = []
    parents = {run.parents[0].id for run in plan.of("finetune")}
    with_text = {r.parents[0].id for r in plan.of("finetune") if isinstance(r.recipe, ZeroShot)}
    if with_text and (without := len(parents - with_text)):
        who = terminal.counted(without, "pre-training")
        notes.append(f"zeroshot is left out for {who} without a text tower")
    unused = _without_trials(study) - parents
    if idle := [run for run in plan.of("pretrain") if run.id in unused]:
        labels = pretrain_labels(plan.of("pretrain"))
        names = ", ".join(dict.fromkeys(labels[run.id] for run in idle))
        who = terminal.counted(len(idle), "pre-training")
        notes.append(f"no fine-tuning starts from {who}: {names}")
    if study.protocol == "paper":
        notes.append("protocol paper: epochs and learning rates are chosen on the test set")
    if study.protocol == "0.1":
        notes.append("protocol 0.1: this study goes on as version 0.1 launched it")
    if plan.costs is not None and plan.resources.finetune.minutes is None and parents:
        notes.append(f"minutes of fine-tunings: {minutes_from(plan)}")
    return notes


def _without_trials(study: Study) -> set[str]:
    """Ids of the pre-trainings that `parents` leaves without a trial in the whole study."""
    if all(blocks is None for blocks in study.trial_blocks):
        return set()
    pairs = list(zip(study.trials, study.trial_blocks, strict=True))
    used: dict[tuple[int, bool], bool] = {}  # by block, and whether its runs have a text tower
    for block, recipe in zip(study.blocks, study.pretrains, strict=True):
        used[block, recipe.uses_text] = any(
            (blocks is None or block in blocks)
            and (recipe.uses_text or not isinstance(trial, ZeroShot))
            for trial, blocks in pairs
        )
    runs = zip(study.blocks, pretrain_runs(study), study.pretrains, strict=True)
    return {run.id for block, run, recipe in runs if not used[block, recipe.uses_text]}


def _pretrain_table(plan: Plan, todo: Plan, done: set[str], columns: list[str]) -> "RenderableType":
    """Make one row per pre-training; columns are settings that differ within a method."""
    runs = plan.of("pretrain")
    rows = [run.columns | _start_of(run) for run in runs]
    packs = {run.id: pack for pack in _packs(todo) for run in pack.runs}
    from hpc_xfer.system.screen.table_or_lines import TableOrLines

    settings = (name.removeprefix("pretrain_") for name in columns)
    texts = []
    for run, row in zip(runs, rows, strict=True):
        pack = packs.get(run.id)
        cells = [setting(read_cell(row.get(name, ""))) for name in columns]
        cost = ["", ""] if pack is None else [str(pack.gpus), f"{pack.minutes:g}"]
        texts.append([run.id, *cells, *cost, "done" if run.id in done else "to do"])
    names = ["run", *settings, "GPUs", "minutes", "state"]
    return TableOrLines("pre-training", names, texts, _WORDS, ("method", "state"))


_WORDS = ("run", "method", "arch", "source", "weights", "init", "lock", "select", "state")
# Settings without a default that differs between methods: where one method has it, somebody chose.
_CHOSEN = ("init", "lock", "patch_dropout", "batchnorm", "accumulate", "select")


def _start_of(run: Run) -> dict[str, Any]:
    """Name by its id what a run starts from; its description would fill the screen."""
    return {"pretrain_init": f"run {run.parents[0].id}"} if run.parents else {}


def _differing(rows: list[dict[str, Any]]) -> list[str]:
    """List the method and each column in which runs differ."""
    differing = [name for name in label_columns(rows) if _has_several(rows, name)]
    return list(dict.fromkeys(["method", *(n for n in differing if _within_a_method(rows, n))]))


def _has_several(rows: list[dict[str, Any]], name: str) -> bool:
    """Tell if a column has several values, or only some runs of a method have one."""
    return (
        len(_distinct(rows, name)) > 1
        or _is_chosen_by_some(rows, name)
        or any(
            {name in row for row in rows if row["method"] == method} == {True, False}
            for method in {row["method"] for row in rows}
        )
    )


def _within_a_method(rows: list[dict[str, Any]], name: str) -> bool:
    """Tell a choice of this study from a default that differs between methods."""
    if name in ("source", "samples", "samples_seen", "arch") or _is_chosen_by_some(rows, name):
        return True
    methods = {row["method"] for row in rows}
    return any(
        _has_several([row for row in rows if row["method"] == method], name) for method in methods
    )


def _is_chosen_by_some(rows: list[dict[str, Any]], name: str) -> bool:
    chosen = name.removeprefix("pretrain_") in _CHOSEN
    return chosen and {name in row for row in rows} == {True, False}


def _distinct(rows: list[dict[str, Any]], name: str) -> set[str]:
    return {str(row[name]) for row in rows if name in row}


def _finetune_table(plan: Plan, todo: Plan, done: set[str]) -> "Table":
    """Make one row per data set and shots, over all parents."""
    runs = plan.of("finetune")
    from hpc_xfer.system.screen.titled_table import titled_table

    table = titled_table("fine-tuning")
    for name in ("data set", "shots", "parents", "runs", "done", "packs", "minutes"):
        table.add_column(name, justify="left" if name == "data set" else "right")
    groups: dict[tuple[str, int | str], list[Run]] = {}
    for run in runs:
        assert isinstance(run.recipe, Finetune)
        groups.setdefault((run.recipe.dataset, run.recipe.shots), []).append(run)
    packs = _packs_by_row(todo)
    for (dataset, shots), members in groups.items():
        ids = {run.id for run in members}
        number, minutes = packs.get((dataset, shots), (0, 0.0))
        table.add_row(
            dataset, str(shots), str(len({_encoder(run) for run in members})),
            f"{len(members):,}", f"{len(ids & done):,}", f"{number:,}", f"{minutes:,.0f}",
        )  # fmt: skip
    return table


_Row = tuple[str, int | str]  # data set and shots


def _packs_by_row(plan: Plan) -> dict[_Row, tuple[int, float]]:
    """Count packs and minutes per data set and shots; rows that share a pack share its minutes."""
    found: dict[_Row, tuple[int, float]] = {}
    for pack in _packs(plan):
        shares: dict[_Row, float] = {}
        for run in pack.runs:
            if isinstance(run.recipe, Finetune):
                row: _Row = (run.recipe.dataset, run.recipe.shots)
                shares[row] = shares.get(row, 0.0) + plan.needs(run)[0]
        for each, share in shares.items():
            number, minutes = found.get(each, (0, 0.0))
            found[each] = (number + 1, minutes + pack.minutes * share / sum(shares.values()))
    return found


def _encoder(run: Run) -> tuple[str, int | None]:
    """The parent and snapshot that a fine-tuning starts from."""
    assert isinstance(run.recipe, Finetune)
    return run.parents[0].id, run.recipe.snapshot


def _packs(plan: Plan) -> list[Pack]:
    return [pack for wave in plan.waves for pack in wave]
