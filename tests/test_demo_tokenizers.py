"""The small tokenizers: text survives them, and they behave as the real ones do."""

from __future__ import annotations

from pathlib import Path

import pytest
from advanced_models.demo.tokenizers import write_clip_tokenizer, write_t5_tokenizer

TEXTS = ["a red fox jumps", "the cat, 42 cars and a dog!", "zyxwv qpo"]


@pytest.mark.parametrize("text", TEXTS)
def test_clip_round_trip(flux_dev: Path, text: str) -> None:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(flux_dev / "tokenizer", clean_up_tokenization_spaces=False)
    decoded = tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True)
    assert "".join(decoded.split()) == "".join(text.split())  # CLIP puts spaces around punctuation and between digits


def test_clip_frames_and_pads_to_77(flux_dev: Path) -> None:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(flux_dev / "tokenizer")
    ids = tokenizer("A Red FOX", padding="max_length", truncation=True).input_ids
    assert len(ids) == 77
    assert ids[0] == tokenizer.convert_tokens_to_ids("<|startoftext|>")
    # The text model pools at the highest id, so the end must have it.
    assert ids[-1] == tokenizer.convert_tokens_to_ids("<|endoftext|>") == len(tokenizer) - 1
    assert ids == tokenizer("a red fox", padding="max_length").input_ids


@pytest.mark.parametrize("text", TEXTS)
def test_t5_round_trip(flux_dev: Path, text: str) -> None:
    from transformers import T5TokenizerFast

    tokenizer = T5TokenizerFast.from_pretrained(flux_dev / "tokenizer_2")
    ids = tokenizer(text).input_ids
    assert ids[-1] == 1  # </s>, as in T5
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_t5_agrees_with_sentencepiece(flux_dev: Path) -> None:
    import sentencepiece
    from transformers import T5TokenizerFast

    folder = flux_dev / "tokenizer_2"
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    tokenizer = T5TokenizerFast.from_pretrained(folder)
    for text in TEXTS:
        assert tokenizer(text).input_ids == [*model.encode(text), 1]


def test_sizes_cover_every_id(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer, T5TokenizerFast

    assert write_clip_tokenizer(tmp_path / "clip") == len(CLIPTokenizer.from_pretrained(tmp_path / "clip"))
    assert write_t5_tokenizer(tmp_path / "t5") == len(T5TokenizerFast.from_pretrained(tmp_path / "t5"))
