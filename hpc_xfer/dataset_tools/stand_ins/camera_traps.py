"""Caltech Camera Traps-20: COCO annotations, images in one folder."""

import json
from pathlib import Path
from typing import Any

from hpc_xfer.config.dataset_cards import SplitCounts, card
from hpc_xfer.dataset_tools.stand_ins.tiny_images import write

IMAGES = {"train": 3, "cis_val": 2, "cis_test": 2, "trans_val": 1, "trans_test": 2}  # per class
CATEGORY_OF_EMPTY = 30


def cct20(root: Path) -> SplitCounts:
    """Write five splits.

    The first image of each class has two boxes. Each split has an empty image and one with animals
    of two classes. There is no badger in cis_test: of rare animals a split may have none.
    """
    (root / "eccv_18_annotation_files").mkdir(parents=True)
    for split, per_class in IMAGES.items():
        content = annotations(root, split, per_class)
        path = root / f"eccv_18_annotation_files/{split}_annotations.json"
        path.write_text(json.dumps(content))
    classes = len(card("cct20").folders)
    return SplitCounts(
        train=IMAGES["train"] * classes,
        val=IMAGES["cis_val"] * classes,
        test=IMAGES["cis_test"] * (classes - 1),
    )


def annotations(root: Path, split: str, per_class: int) -> dict[str, Any]:
    facts = card("cct20")
    ids = [int(number) for number in facts.folders]
    shown = [(label, i) for label in range(len(ids)) for i in range(per_class)
             if (split, facts.classes[label]) != ("cis_test", "badger")]  # fmt: skip
    categories = [{"id": n, "name": name} for n, name in zip(ids, facts.classes, strict=True)]
    content: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [*categories, {"id": CATEGORY_OF_EMPTY, "name": "empty"}],
    }

    def add(label: int, i: int, numbers: list[int]) -> None:
        key = f"{split}-{label:02d}-{i}"
        write(root / f"eccv_18_all_images_sm/{key}.jpg", label, i)
        image = {"id": key, "file_name": f"{key}.jpg", "location": 38, "seq_id": f"{split}-{label}",
                 "width": 12, "height": 10}  # fmt: skip
        content["images"].append(image)
        for number in numbers:
            box = {"id": f"{key}-{len(content['annotations'])}", "image_id": key,
                   "category_id": number, "bbox": [1, 1, 5, 5]}  # fmt: skip
            content["annotations"].append(box)

    for label, i in reversed(shown):
        add(label, i, [ids[label]] * (2 if i == 0 else 1))
    add(90, 0, [CATEGORY_OF_EMPTY])
    add(91, 0, [ids[0], ids[1]])
    return content
