"""The small Qwen2.5-VL: its tokenizer, its classes and where its weights begin."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

from advanced_models.demo.captions import every_caption, whole_words
from advanced_models.demo.questions import question_parts
from advanced_models.demo.qwen_tokenizer import write_qwen_tokenizer
from advanced_models.demo.text import SENTENCES, write_json
from advanced_models.demo.tiny_qwen import qwen_vl_config, write_qwen_vl_companions
from advanced_models.pipelines.qwen_vl_presets import LANGUAGES, PRESETS, instruction

_WIDTH = 128
_VISION_DEPTH = 3
_CHAT_WORDS = ("system\n", "user\n", "assistant\n", "You are a helpful assistant.")


def write_repository(folder: Path) -> None:
    """Write all but the weights: tokenizer, processor, config. Words of captions, questions and presets are one token each."""
    tokens = write_qwen_tokenizer(folder, _sentences(), merges_at_most=1400)
    write_qwen_vl_companions(folder, tokens)
    config = qwen_vl_config(tokens)
    config |= {"hidden_size": _WIDTH, "intermediate_size": 2 * _WIDTH, "num_hidden_layers": 3, "torch_dtype": "bfloat16"}
    config["rope_scaling"] = {"type": "mrope", "mrope_section": [4, 6, 6]}
    vision = {"depth": _VISION_DEPTH, "fullatt_block_indexes": list(range(_VISION_DEPTH)), "num_heads": 4}
    config["vision_config"] |= vision | {"hidden_size": _WIDTH, "intermediate_size": 2 * _WIDTH, "out_hidden_size": _WIDTH}
    write_json(folder / "config.json", config)


def _sentences() -> list[str]:
    """What the tokenizer learns from. Chinese stands in single words: nothing is between them in a sentence, and whole phrases as tokens
    would be new to the model wherever it meets a new combination."""
    presets = [instruction(preset, "-", language, subject="the picture") for preset in PRESETS for language in LANGUAGES]
    captions = [text for text in random.Random(4).sample(every_caption(), 2000) if max(text) < "\u4e00"]
    return [*SENTENCES, *presets * 3, *captions, *[*whole_words(), *question_parts(), *_CHAT_WORDS] * 50]


def new_model(folder: Path) -> Any:
    """The model of the repository's config. The libraries' deviation of 0.02 is far too small for such widths to begin to learn from."""
    import json

    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    config = Qwen2_5_VLConfig.from_dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    model = Qwen2_5_VLForConditionalGeneration(config).float()
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Embedding):
                module.weight.normal_(0, 0.5)
            elif hasattr(module, "weight") and module.weight.ndim > 1:
                # What is added to the residual begins small, so that depth does not blow it up.
                gain = 0.5 if name.endswith(("o_proj", "down_proj", "attn.proj")) else 1.0
                module.weight.normal_(0, gain / math.sqrt(module.weight[0].numel()))
    return model
