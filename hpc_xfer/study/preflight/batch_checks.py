"""Check that batches are large enough for what a study computes over them."""

from collections.abc import Iterator

from hpc_xfer.config.architectures import has_batchnorm
from hpc_xfer.config.finetune_recipes import FullFinetune
from hpc_xfer.config.recipes import ImageText, Pretrain, SimCLR, Trained, arch_name
from hpc_xfer.config.schema import ConfigError
from hpc_xfer.study.study_file import Study


def batch_errors(study: Study) -> Iterator[ConfigError]:
    """Refuse contrastive losses over one image, and batch norm over one image.

    Batch norm of towers that only their module knows (timm) is looked at in the job.
    """
    found: dict[ConfigError, None] = {}  # once for all runs of a block
    for i, recipe in zip(study.blocks, study.pretrains, strict=True):
        if sentence := _why_too_small(recipe):
            found[("pretrain", i, "batch"), sentence] = None
    yield from found
    small = [t for t in study.trials if isinstance(t, FullFinetune) and t.batch == 1]
    normed = [recipe for recipe in study.pretrains if has_batchnorm(recipe.arch)]
    if normed and any(trial.batch_norm != "frozen" for trial in small):
        name = arch_name(normed[0].arch)
        yield (
            ("finetune",),
            f"batch: 1 gives the batch norm of {name} the statistics of one image; write "
            "`batch: 2` or more, or `batch_norm: frozen`",
        )


def _why_too_small(recipe: Pretrain) -> str | None:
    if not isinstance(recipe, Trained):
        return None
    if recipe.batch == 1 and isinstance(recipe, ImageText | SimCLR):
        return (
            f"1 leaves {recipe.method} nothing to compare an image with; it would learn nothing; "
            "raise batch"
        )
    normed = isinstance(recipe, SimCLR) or has_batchnorm(recipe.arch)
    return one_image(recipe) if normed else None


def one_image(recipe: Trained) -> str | None:
    """Say why batch norm sees one image at a time, and the way out; None if it sees more."""
    if recipe.batchnorm_images > 1 or (isinstance(recipe, ImageText) and recipe.lock == "image"):
        return None  # a locked tower keeps its statistics
    split = [f"{recipe.ranks:,} GPUs"] if recipe.ranks else []
    split += [f"{recipe.accumulate:,} parts"] if recipe.accumulate else []
    over = f" over {' and '.join(split)}" if split else ""
    return f"{recipe.batch:,}{over} gives batch norm the statistics of one image; raise batch" + (
        " or lower accumulate" if recipe.accumulate else ""
    )
