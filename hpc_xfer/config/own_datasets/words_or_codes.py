"""Tell class names that a text tower can know from numbers and codes.

    are_words(("golden retriever", "pug"))     # True
    are_words(("n01440764", "n01443537"))      # False

The rules are for names that nobody stated as such, those of folders. A text head that starts from
codes starts from noise; one that starts from zero loses little, so doubt counts as a code.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence

_TOKEN = re.compile(r"[^\W_]+")
_ONE_BOUNDARY = re.compile(r"(?:[^\W\d_]+\d+|\d+[^\W\d_]+)")  # class3, 3d; not a3f9c1
_ROMAN = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_VOWELS = frozenset("aeiouyæøœ\N{LATIN SMALL LETTER DOTLESS I}")  # NFKD takes accents away
_LATIN = "LATIN"
_OF_ONE_SIGN = ("CJK", "HANGUL", "HIRAGANA", "KATAKANA")  # scripts in which a sign is a word
_SHORT = frozenset({"ax", "no", "ox", "tv", "yo"})
_LEAST = 3  # letters of a Latin word
_DISTINCT = 0.25  # of names; train_1 to train_30 and bus_1 to bus_30 say nothing of the number


def are_words(classes: Sequence[str]) -> bool:
    """Return whether most names hold a word, and words tell them apart.

    Names that differ in digits or single letters only (`class_3`, `cls-a`) are codes.
    """
    words = [words_of(name) for name in classes]
    worded = [found for found in words if found]
    if 2 * len(worded) <= len(classes):
        return False
    distinct = len(set(worded))
    return len(classes) < 2 or (distinct > 1 and distinct >= _DISTINCT * len(classes))


def words_of(name: str) -> tuple[str, ...]:
    """List the words in a name, in lower case: none for `k0`, `CBB`, `737-200` or a hash."""
    # Signs of Indic vowels and accents are marks, which \w leaves out: they would cut a word.
    plain = "".join(
        char for char in unicodedata.normalize("NFKD", name) if unicodedata.category(char)[0] != "M"
    )
    return tuple(
        word.casefold()
        for token in _TOKEN.findall(unicodedata.normalize("NFC", plain))
        for word in _words_of_token(token)
    )


def _words_of_token(token: str) -> Iterator[str]:
    """Yield the words of a run of letters and digits; one that mixes both is a code mostly."""
    mixes = any(map(str.isdigit, token)) and not token.isdigit()
    for script, run in _by_script(token):
        if script == _LATIN:
            if mixes and not _ONE_BOUNDARY.fullmatch(token):
                continue
            yield from (part for part in _by_capitals(run) if _is_latin_word(part, mixes))
        elif len(run) > 1 or script in _OF_ONE_SIGN:
            yield run


def _by_capitals(run: str) -> Iterator[str]:
    """Cut a run before each capital that follows a small letter: GoldenRetriever is two words."""
    begin = 0
    for i in range(1, len(run)):
        if run[i].isupper() and run[i - 1].islower():
            yield run[begin:i]
            begin = i
    yield run[begin:]


def _is_latin_word(run: str, is_mixed: bool) -> bool:
    small = run.casefold()
    if small in _SHORT and not is_mixed:
        return True
    if len(run) < _LEAST or not _VOWELS & set(small):
        return False
    if run.isupper() and _ROMAN.fullmatch(run):
        return False
    return not (is_mixed and set(small) <= set("abcdef"))


def _by_script(token: str) -> Iterator[tuple[str, str]]:
    """Cut the letters of a token into runs of one script; digits end a run."""
    script, run = "", ""
    for char in token:
        found = unicodedata.name(char, "?").split()[0] if char.isalpha() else ""
        found = found.split("-")[0]
        if found != script and run:
            yield script, run
            run = ""
        script = found
        run += char if found else ""
    if run:
        yield script, run
