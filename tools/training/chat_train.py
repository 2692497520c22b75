"""The training of the small Qwen2.5-VL: first its eyes, with heads that are thrown away, then eyes and language together."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advanced_models.demo.captions import words
from advanced_models.demo.questions import LANGUAGES
from advanced_models.demo.shapes import COLOURS, POSITIONS, SHAPES, SIZES, scenes

from .chat_data import (
    PATCHES,
    TOKENS,
    Talk,
    any_description,
    any_idea,
    any_pairs,
    any_question,
    any_question_of_colour,
    any_question_of_form,
    patches,
    pictures,
)
from .loop import train

if TYPE_CHECKING:
    import torch

_ASPECTS: dict[str, Sequence[str]] = {
    "shape": SHAPES,
    "colour": list(COLOURS),
    "background": list(COLOURS),
    "position": list(POSITIONS),
    "size": list(SIZES),
}
_KINDS = (
    (any_question, "all", 16, 3),
    (any_description, "all", 16, 1),
    (any_idea, "", 12, 1),
    (any_question_of_form, "form", 24, 2),
    (any_question_of_colour, "colour", 24, 2),
)
"""What a step asks, what its pictures have to tell (nothing: there are none), how many of them and how many questions of each."""
_SHORT_ANSWER_WEIGHT = 2.0
_VISION_BATCH = 48


@dataclass(frozen=True)
class Stage:
    """One stretch of a training: `shares` are those of questions, descriptions, ideas, and questions of form and of colour alone.

    The last two are asked in pictures of arbitrary colours, and of shapes without a name, so that the few combinations there are in
    training are not learnt by heart.
    """

    steps: int
    seed: int
    rate: float
    hold: float
    shares: tuple[int, int, int, int, int]


def train_vision(model: Any, folder: Path, steps: int, log: Path) -> None:
    """Train the vision tower so that every merged token tells all there is to say of its picture, through a linear head each.

    Without this the language model learns the answers' frequencies first and stays there: nothing it is shown means anything yet.
    """
    import torch
    from torch.nn.functional import cross_entropy

    torch.manual_seed(10)
    rng = random.Random(11)
    processor = _processor(folder)
    heads = {aspect: torch.nn.Linear(model.config.text_config.hidden_size, len(names)) for aspect, names in _ASPECTS.items()}

    def loss_of_step() -> torch.Tensor:
        shown = scenes(_VISION_BATCH, rng, unseen=False)
        seen = look(model, patches(pictures(shown, rng), processor))
        errors = []
        for aspect, names in _ASPECTS.items():
            wanted = torch.tensor([list(names).index(getattr(scene, aspect)) for scene in shown])
            errors.append(cross_entropy(heads[aspect](seen).flatten(0, 1), wanted.repeat_interleave(TOKENS)))
        return torch.stack(errors).sum()

    parameters = [*model.model.visual.parameters(), *(p for head in heads.values() for p in head.parameters())]
    train(parameters, loss_of_step, steps=steps, rate=1.5e-3, log=log, betas=(0.9, 0.98))


def train_chat(model: Any, tokenizer: Any, folder: Path, stage: Stage, log: Path, *, vae: Any = None) -> None:
    """Train all of it on questions with their answers, in the shares of the stage; with `vae` on pictures that came out of it, too."""
    import torch

    torch.manual_seed(12)
    rng = random.Random(stage.seed)
    processor = _processor(folder)

    def loss_of_step() -> torch.Tensor:
        make, told, count, each = rng.choices(_KINDS, weights=stage.shares)[0]
        shown = any_pairs(count, rng) if told == "colour" else scenes(count, rng, unseen=False)
        talks = [make(scene, rng) for scene in shown for _ in range(each)]
        ids, weights = _tokens(tokenizer, talks, with_picture=bool(told))
        seen = None
        if told:
            seen = look(model, patches(pictures(shown, rng, told=told, vae=vae), processor)).repeat_interleave(each, 0)
        return _answer_loss(model, ids, weights, seen)

    train(list(model.parameters()), loss_of_step, steps=stage.steps, rate=stage.rate, log=log, betas=(0.9, 0.98), hold=stage.hold)


def look(model: Any, shown: torch.Tensor) -> torch.Tensor:
    """Four tokens for each picture of patches [B * 16, 1176]: [B, 4, width]."""
    import torch

    count = len(shown) // PATCHES
    seen: torch.Tensor = model.model.visual(shown, torch.tensor([[1, 4, 4]] * count)).pooler_output
    return seen.reshape(count, TOKENS, -1)


def _tokens(tokenizer: Any, talks: Sequence[Talk], *, with_picture: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [B, L] of whole conversations, and how much each token counts: answers alone, the short ones more."""
    import torch

    rows, counts = [], []
    for talk in talks:
        shown = [{"type": "image"}] if with_picture else []
        message = {"role": "user", "content": [*shown, {"type": "text", "text": talk.asked}]}
        start = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
        before = tokenizer(start.replace("<|image_pad|>", "<|image_pad|>" * TOKENS)).input_ids
        after = tokenizer(talk.answer + "<|im_end|>").input_ids
        weight = _SHORT_ANSWER_WEIGHT if len(after) < 6 else 1.0
        uncounted = _ids_of(tokenizer, talk.uncounted) if talk.uncounted else ()
        rows.append(before + after)
        counts.append([0.0] * len(before) + [0.0 if token in uncounted else weight for token in after])
    longest = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows])
    return ids, torch.tensor([count + [0.0] * (longest - len(count)) for count in counts])


@cache
def _ids_of(tokenizer: Any, group: str) -> frozenset[int]:
    """The tokens of all colours or all shapes, at the beginning of a text and within it."""
    names = [name for language in LANGUAGES for name in words(language)[group].values()]
    return frozenset(token for name in names for text in (name, f" {name}") for token in tokenizer(text).input_ids)


def _answer_loss(model: Any, ids: torch.Tensor, weights: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
    """The weighted cross entropy. Padding stands behind, attention is causal: no mask is needed, and all rows share their positions."""
    import torch
    from torch.nn.functional import cross_entropy

    embeds = model.get_input_embeddings()(ids)
    positions = torch.arange(ids.shape[1]).expand(3, 1, -1)
    if seen is not None:
        place = ids == model.config.image_token_id
        embeds = embeds.masked_scatter(place[..., None], seen)
        positions, _ = model.model.get_rope_index(ids[:1], place[:1].int(), image_grid_thw=torch.tensor([[1, 4, 4]]))
    hidden = model.model.language_model(
        inputs_embeds=embeds, position_ids=positions.expand(3, len(ids), -1), use_cache=False
    ).last_hidden_state
    counted = weights[:, 1:] > 0
    errors = cross_entropy(model.lm_head(hidden[:, :-1][counted]), ids[:, 1:][counted], reduction="none")
    chosen = weights[:, 1:][counted]
    return (errors * chosen).sum() / chosen.sum()


def _processor(folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    return settings
