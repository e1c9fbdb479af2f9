"""Turn captions into tokens, word by word, as open_clip does, ten times as fast.

open_clip repairs every caption with ftfy, splits it with a regular expression and looks up each
token. Here a word that occurred before is one look-up, and what has nothing to repair is not
repaired. A caption is read up to the tokens that are used, and a word of 128,000 letters, which
takes open_clip half a minute, takes a second.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import open_clip
import torch
from torch import Tensor

# Characters of a caption that are read. 75 tokens have at most 2,400 letters, for the longest one
# has 32; the rest leaves room for spaces and for what is repaired.
LONGEST = 10_000
_LONG_WORD = 64  # letters; longer ones are not kept, and joined by `_joined`


class WordTokenizer:
    """Map captions to token ids (captions, context), equal to those of the tokenizer inside.

    Args:
        kept: words, after which it forgets them all; 100,000 take 16 MB in each loading process of
            each rank. open_clip's keeps every misspelling of millions of captions.
    """

    def __init__(self, tokenizer: open_clip.SimpleTokenizer, kept: int = 100_000) -> None:
        self.tokenizer, self.kept = tokenizer, kept
        self._special = dict(tokenizer.cache)
        self._words: dict[str, list[int]] = {}

    def __call__(self, captions: list[str]) -> Tensor:
        start, end = self.tokenizer.sot_token_id, self.tokenizer.eot_token_id
        inside = self.tokenizer.context_length - 2
        tokens = np.zeros((len(captions), inside + 2), dtype=np.int64)
        for row, caption in zip(tokens, captions, strict=True):
            ids = self._ids(caption, inside)
            row[: len(ids) + 2] = [start, *ids, end]
        return torch.from_numpy(tokens)

    def _ids(self, caption: str, most: int) -> list[int]:
        known = self._words
        ids: list[int] = []
        for word in self._cleaned(caption[:LONGEST]).split(" "):
            ids += known[word] if word in known else self._learn(word)
            if len(ids) >= most:
                break
        return ids[:most]

    def _cleaned(self, caption: str) -> str:
        """Clean as the tokenizer does; of printable ASCII without entities only spaces change."""
        if caption.isascii() and caption.isprintable() and "&" not in caption:
            return " ".join(caption.split()).lower()
        cleaned: str = self.tokenizer.clean_fn(caption)
        return cleaned

    def _learn(self, word: str) -> list[int]:
        """Encode a word as `SimpleTokenizer.encode` does; no token of it contains a space."""
        inner, is_long = self.tokenizer, len(word) > _LONG_WORD
        ids: list[int] = []
        for token in inner.pat.findall(word):
            spelled = "".join(inner.byte_encoder[byte] for byte in token.encode("utf-8"))
            parts = joined(spelled, inner.bpe_ranks) if is_long else inner.bpe(spelled).split(" ")
            ids += [inner.encoder[part] for part in parts]
        if is_long:  # seldom seen again
            return ids
        if len(self._words) >= self.kept:
            self._words.clear()
            inner.cache = dict(self._special)
        self._words[word] = ids
        return ids


@dataclass(frozen=True)
class CutCaptions:
    """Map captions to token ids with a tokenizer of another kind, of their first part."""

    tokenizer: Callable[[list[str]], Tensor]

    def __call__(self, captions: list[str]) -> Tensor:
        return self.tokenizer([caption[:LONGEST] for caption in captions])


def joined(spelled: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """Join the letters of a word by byte-pair encoding, as `SimpleTokenizer.bpe` does.

    That one goes over the whole word for each kind of pair. Here pairs wait in a heap by rank, then
    from left to right. Both give the same: a pair with a joined part has a higher rank than the
    pair that it was joined of, because it was learned later.
    """
    parts = [*spelled[:-1], f"{spelled[-1]}</w>"]
    before, after = list(range(-1, len(parts) - 1)), list(range(1, len(parts) + 1))
    waiting = [(ranks[pair], i, *pair) for i, pair in enumerate(pairwise(parts)) if pair in ranks]
    heapq.heapify(waiting)
    while waiting:
        _, i, first, second = heapq.heappop(waiting)
        j = after[i]
        if parts[i] != first or j == len(parts) or parts[j] != second:
            continue  # one of them was joined to another
        parts[i], parts[j] = first + second, ""
        after[i] = after[j]
        if after[i] < len(parts):
            before[after[i]] = i
        for left, right in ((before[i], i), (i, after[i])):
            if left >= 0 and right < len(parts):
                pair = parts[left], parts[right]
                if pair in ranks:
                    heapq.heappush(waiting, (ranks[pair], left, *pair))
    return [part for part in parts if part]
