"""Tokenizers with small vocabularies and the real algorithms: CLIP's byte-level BPE, T5's SentencePiece unigrams.

The files are written here rather than by `save_pretrained`, whose constructors and file sets differ between
transformers 4 and 5.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .bpe import byte_alphabet, learn_merges, merges_text, vocabulary_of
from .text import SENTENCES, write_json

_REPEATS = 4  # SentencePiece drops what it sees too rarely to estimate
_CLIP_WORD = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""  # OpenAI's CLIP, simple_tokenizer.py
_T5_SENTINELS = 100


def write_clip_tokenizer(folder: Path, sentences: Sequence[str] = SENTENCES) -> int:
    """Write a CLIP tokenizer (`CLIPTokenizer`) into `folder` and return its vocabulary size. The end is the last id."""
    from tokenizers import Regex, pre_tokenizers

    pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_WORD), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )

    def split(sentence: str) -> list[str]:
        return [word for word, _ in pre_tokenizer.pre_tokenize_str(sentence.lower())]

    merges = learn_merges(split, 300, ending="</w>", sentences=sentences)
    start, end = "<|startoftext|>", "<|endoftext|>"
    alphabet = byte_alphabet()
    endings = [symbol + "</w>" for symbol in alphabet]
    vocabulary = vocabulary_of([*alphabet, *endings, *(left + right for left, right in merges), start, end])
    special = {"bos_token": start, "eos_token": end, "pad_token": end, "unk_token": end}
    write_json(folder / "vocab.json", vocabulary)
    (folder / "merges.txt").write_text(merges_text(merges), encoding="utf-8")
    write_json(folder / "special_tokens_map.json", special)
    write_json(
        folder / "tokenizer_config.json",
        {
            **special,
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": True,
            "do_lower_case": True,
            "errors": "replace",
            "model_max_length": 77,
            "tokenizer_class": "CLIPTokenizer",
        },
    )
    return len(vocabulary)


def write_t5_tokenizer(folder: Path, sentences: Sequence[str] = SENTENCES, words: Sequence[str] = ()) -> int:
    """Write a T5 tokenizer (`spiece.model` and `tokenizer.json`) into `folder` and return its vocabulary size.

    With `words` these are its pieces, beside single characters, and capitals count as small letters; without, pieces are learnt from the
    sentences.
    """
    import sentencepiece

    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*sentences] * _REPEATS),
        model_writer=trained,
        model_type="unigram",
        vocab_size=300,
        hard_vocab_limit=False,
        character_coverage=1.0,
        num_threads=1,  # the result depends on the order in which threads add up
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        pad_piece="<pad>",
        normalization_rule_name="nmt_nfkc_cf" if words else "nmt_nfkc",
        minloglevel=2,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(_with_words(trained.getvalue(), words) if words else trained.getvalue())
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    sentinels = [f"<extra_id_{index}>" for index in range(_T5_SENTINELS)]
    write_json(folder / "special_tokens_map.json", {**special, "additional_special_tokens": sentinels})
    write_json(
        folder / "tokenizer_config.json",
        {
            **special,
            "additional_special_tokens": sentinels,
            "clean_up_tokenization_spaces": True,
            "extra_ids": _T5_SENTINELS,
            "legacy": True,
            "model_max_length": 512,
            "tokenizer_class": "T5Tokenizer",
        },
    )
    from transformers import AutoTokenizer

    fast = AutoTokenizer.from_pretrained(folder)
    fast.backend_tokenizer.save(str(folder / "tokenizer.json"))
    return len(fast)


def _with_words(model: bytes, words: Sequence[str]) -> bytes:
    """A SentencePiece model of whole words and single characters: on a small text its own training splits the most frequent words."""
    # Its classes are made when it is imported, so types know none.
    messages: Any = importlib.import_module("sentencepiece.sentencepiece_model_pb2")
    space = "\u2581"
    proto = messages.ModelProto()
    proto.ParseFromString(model)
    learnt = list(proto.pieces)
    del proto.pieces[:]
    for piece in learnt:
        if piece.type != piece.NORMAL or len(piece.piece) == 1:
            added = proto.pieces.add()
            added.CopyFrom(piece)
            if piece.type == piece.NORMAL:
                added.score = -10.0
    known = {piece.piece for piece in proto.pieces}
    small = dict.fromkeys(word.lower() for word in words)
    for piece in [*(space + word for word in small), *small]:
        if piece not in known:
            # Of two words that begin alike the longer one is taken.
            proto.pieces.add(piece=piece, score=-1.0 - 0.1 / len(piece))
    content: bytes = proto.SerializeToString()
    return content
