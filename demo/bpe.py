"""Byte-pair encoding learned from a few sentences, the same on every run.

The trainer of the `tokenizers` package breaks ties at random, so two runs of it would give two models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from .text import SENTENCES


def byte_alphabet() -> list[str]:
    """The 256 characters that stand for the 256 bytes in GPT-2, CLIP and Qwen, in GPT-2's order (printable ones first)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(256 - len(printable))]


def learn_merges(
    split: Callable[[str], list[str]], count: int, *, ending: str = "", sentences: Iterable[str] = SENTENCES
) -> list[tuple[str, str]]:
    """The first `count` merges of byte-pair encoding over the sentences (Sennrich, Haddow and Birch 2016, algorithm 1).

    `split` cuts a sentence into words spelled in `byte_alphabet`; `ending` is put behind the last character of each
    word, as in CLIP. Among equally frequent pairs the alphabetically first is merged. There are fewer merges when no
    pair occurs twice.
    """
    words = Counter(word for sentence in sentences for word in split(sentence))
    spelled = {word: [*word[:-1], word[-1] + ending] for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in spelled.items():
            for pair in pairwise(symbols):
                pairs[pair] += words[word]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < 2:
            break
        merges.append(best)
        spelled = {word: _merge(symbols, best) for word, symbols in spelled.items()}
    return merges


def vocabulary_of(symbols: Iterable[str]) -> dict[str, int]:
    """Number the symbols in order of first appearance."""
    return {symbol: index for index, symbol in enumerate(dict.fromkeys(symbols))}


def merges_text(merges: Iterable[tuple[str, str]]) -> str:
    """The content of a `merges.txt`."""
    return "\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]) + "\n"


def _merge(symbols: Sequence[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    index = 0
    while index < len(symbols):
        if tuple(symbols[index : index + 2]) == pair:
            merged.append(symbols[index] + symbols[index + 1])
            index += 2
        else:
            merged.append(symbols[index])
            index += 1
    return merged
