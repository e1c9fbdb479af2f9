"""What is odd about a data set of the user's own, in sentences."""

from hpc_xfer.config.downstream_datasets import PACKAGED, DatasetInfo
from hpc_xfer.config.own_datasets.remarks import remarks, zero_shot_refusal

WAY_OUT = "name the classes with class_names in the site file, or in classes.json beside the data"


def info(
    *classes: str, train: tuple[int, ...] = (), test: tuple[int, ...] = (), stated: bool = False
) -> DatasetInfo:
    train, test = train or (5,) * len(classes), test or (5,) * len(classes)
    return DatasetInfo(
        "mine", "mine", classes, sum(train), sum(test), min(train), ("{}",), "x", train,
        test_counts=test, names_stated=stated,
    )  # fmt: skip


def test_nothing_is_said_of_what_is_usual() -> None:
    assert [*remarks(info("cat", "dog", "red fox"))] == []
    assert [*remarks(info("cat", "dog", test=(7, 3)))] == []  # no share to speak of, of two
    assert [*remarks(PACKAGED["digits"])] == []


def test_names_that_are_codes_are_told_with_the_way_out() -> None:
    codes = info("k0", "k1", "k2", "k3")
    assert [*remarks(codes)] == [
        "its class names are codes (k0, k1, ...), not words: text heads start from zero (head: "
        f"auto); {WAY_OUT}"
    ]
    assert zero_shot_refusal(codes) == (
        "data set 'mine': its class names are codes (k0, k1, ...), not words, so zero-shot "
        f"measures nothing; {WAY_OUT}, or remove mode zeroshot"
    )
    assert zero_shot_refusal(info("0", "1", stated=True)) is None
    assert [*remarks(info("0", "1", stated=True))] == []


def test_a_few_codes_among_words_are_counted() -> None:
    assert [*remarks(info("Boeing", "A300B4", "Cessna"))] == [
        "1 of 3 class names has no word in them, the first 'A300B4': text heads start from them as "
        f"they are; {WAY_OUT}"
    ]


def test_names_that_a_text_tower_reads_alike_are_told() -> None:
    found = info("Crane", "golden retriever", "crane", "golden_retriever", "crane ", stated=True)
    assert [*remarks(found)] == [
        "2 class names stand for more than one class, the first 'Crane' for classes 0, 2 and 4: "
        "text (zero-shot, head: auto) cannot tell these apart, as prompts ignore case; " + WAY_OUT
    ]


def test_a_sentence_stays_short_where_names_are_long_or_many_are_alike() -> None:
    hashes = info(*(64 * digit for digit in "0123"))
    first = f"{24 * '0'}..., {24 * '1'}..., ..."
    [codes] = remarks(hashes)
    assert codes.startswith(f"its class names are codes ({first}), not words: ")
    breeds = info("cat", *(120 * ["dog"]), stated=True)
    [alike] = remarks(breeds)
    assert "the first 'dog' for classes 1, 2, 3 and 117 more: " in alike


def test_a_large_class_is_told_and_not_refused() -> None:
    """Five classes, of which one has 61% of the images: right, and once refused."""
    names = ("bacterial blight", "brown streak", "green mottle", "mosaic", "healthy")
    assert [*remarks(info(*names, test=(5, 10, 11, 61, 13)))] == [
        "61% of the test images are of one class, 'mosaic': an encoder that always answers it has "
        "this top-1; compare test_per_class"
    ]


def test_classes_that_cannot_be_measured_or_validated_are_counted() -> None:
    assert [*remarks(info("cat", "dog", "red fox", train=(1, 1, 9), test=(5, 0, 4)))] == [
        "1 of 3 classes has no test image, the first 'dog': nothing is measured on them",
        "2 of 3 classes have a single training image, the first 'cat': none of it is left for "
        "validation",
        "56% of the test images are of one class, 'cat': an encoder that always answers it has "
        "this top-1; compare test_per_class",
    ]
