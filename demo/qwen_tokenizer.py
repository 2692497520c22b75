"""A Qwen2 tokenizer with a small vocabulary: byte-level BPE, the special tokens and the chat template of Qwen2.5-VL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .bpe import byte_alphabet, learn_merges, merges_text, vocabulary_of
from .text import SENTENCES, write_json

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
"""In the order of their ids, which follow the vocabulary, as in Qwen2.5-VL (151643 to 151656 there)."""

# Qwen2's tokenizer.json: GPT-4's pattern, with single digits.
_WORD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

CHAT_TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Qwen2.5-VL's own."""


def write_qwen_tokenizer(folder: Path, sentences: Sequence[str] = SENTENCES, merges_at_most: int = 300) -> dict[str, int]:
    """Write a Qwen2 tokenizer (`Qwen2Tokenizer`) learnt from the sentences into `folder` and return the id of every token."""
    from tokenizers import Regex, pre_tokenizers

    pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORD), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )

    def split(sentence: str) -> list[str]:
        return [word for word, _ in pre_tokenizer.pre_tokenize_str(sentence)]

    merges = learn_merges(split, merges_at_most, sentences=sentences)
    words = vocabulary_of([*byte_alphabet(), *(left + right for left, right in merges)])
    special = {token: len(words) + index for index, token in enumerate(SPECIAL_TOKENS)}
    write_json(folder / "vocab.json", words)
    (folder / "merges.txt").write_text(merges_text(merges), encoding="utf-8")
    named = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    write_json(folder / "added_tokens.json", special)
    write_json(folder / "special_tokens_map.json", {**named, "additional_special_tokens": [*SPECIAL_TOKENS[1:]]})
    write_json(
        folder / "tokenizer_config.json",
        {
            **named,
            "bos_token": None,
            "unk_token": None,
            "add_bos_token": False,
            "add_prefix_space": False,
            "added_tokens_decoder": {str(index): _added(token) for token, index in special.items()},
            "additional_special_tokens": [*SPECIAL_TOKENS[1:]],
            "chat_template": CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "errors": "replace",
            "model_max_length": 131072,
            "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
        },
    )
    return words | special


def _added(token: str) -> dict[str, object]:
    return {
        "content": token,
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
        "special": True,
    }
