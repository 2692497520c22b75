"""The trained small FLUX draws what it is asked, also what no training has shown it together."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import advanced_models.host
import pytest
import torch
from advanced_models.demo import trained
from advanced_models.demo.captions import caption
from advanced_models.demo.classifier import classify
from advanced_models.demo.shapes import SIDE, Scene, draw, exact, scenes, varied
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.component import select_component
from advanced_models.pipelines import flux


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advanced_models.host, "_standalone", StandaloneHost.below(tmp_path, models=(trained.MODELS,)))


def right(wanted: list[Scene], pictures: torch.Tensor) -> float:
    """The share of pictures whose shape, colour and background are the scene's."""
    found = [classify(picture) for picture in pictures.numpy()]
    same = [
        seen is not None and (seen.shape, seen.colour, seen.background) == (scene.shape, scene.colour, scene.background)
        for scene, seen in zip(wanted, found, strict=True)
    ]
    return sum(same) / len(same)


def painted(prompts: list[str], seed: int, **options: Any) -> torch.Tensor:
    # Three times as fast as bf16 on a processor that computes in fp32 alone.
    with torch.inference_mode():
        return trained.paint(prompts, seed=seed, **{"precision": "fp32"} | options)


def test_the_judge_knows_what_was_drawn() -> None:
    wanted = scenes(200, random.Random(5), unseen=True)
    rng = random.Random(6)
    assert right(wanted, draw([varied(scene, rng) for scene in wanted]).movedim(1, -1)) == 1.0


@pytest.mark.parametrize(("language", "least"), [("en", 0.95), ("de", 0.9), ("zh", 0.9)])
def test_it_draws_combinations_that_it_never_saw(language: str, least: float) -> None:
    wanted = scenes(20, random.Random(99), unseen=True)
    assert right(wanted, painted([caption(scene, language) for scene in wanted], seed=1)) >= least


def test_prompts_of_one_batch_do_not_mix() -> None:
    wanted = [Scene("circle", "red", "blue"), Scene("star", "yellow", "black"), Scene("square", "white", "green")]
    together = painted([caption(scene) for scene in wanted], seed=3)
    assert right(wanted, together) == 1.0
    others = painted([caption(scene) for scene in (wanted[0], Scene("ring", "black", "white"), Scene("triangle", "red", "yellow"))], seed=3)
    assert torch.allclose(others[0], together[0], atol=1e-4)


def test_the_less_strength_the_more_of_the_picture_stays() -> None:
    start, asked = Scene("square", "red", "white"), Scene("circle", "blue", "black")
    before = draw([exact(start)]).movedim(1, -1)
    pictures = [painted([caption(asked)], seed=0, picture=before, strength=strength) for strength in (0.2, 0.4, 0.6, 0.8, 1.0)]
    distances = [(after - before).abs().mean().item() for after in pictures]
    assert distances == sorted(distances)
    assert distances[-1] > 4 * distances[0]
    first, last = (classify(pictures[index][0].numpy()) for index in (0, -1))
    assert first is not None
    assert last is not None
    assert first.background == start.background
    assert (last.shape, last.colour, last.background) == (asked.shape, asked.colour, asked.background)


def test_inpainting_paints_within_the_mask_alone() -> None:
    before = draw([exact(Scene("square", "red", "white"))]).movedim(1, -1)
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, 8:-8, 8:-8] = 1
    outside = mask[0, ::8, ::8] == 0
    vae, transformer = select_component(trained.FLUX, "vae"), select_component(trained.FLUX, "transformer", precision="fp32")
    with torch.inference_mode():
        start = flux.Picture(flux.encode_image(vae, before).mean)
        prompt = trained.encode([caption(Scene("circle", "blue", "white"))])
        latents = flux.denoise(transformer, prompt, width=SIDE, height=SIDE, seed=6, steps=trained.STEPS, picture=start, mask=mask)
        after = flux.decode(vae, latents)
    # Latents, not pixels: the VAE's group norms look at the whole picture, so that a change anywhere moves every pixel a little.
    assert torch.allclose(latents[..., outside], start.mean[..., outside], atol=1e-5)
    assert (latents - start.mean)[..., ~outside].abs().mean() > 0.3 * start.mean.std()
    assert right([Scene("circle", "blue", "white")], after) == 1.0


def test_a_lora_recolours_at_strength_1_and_does_nothing_at_0() -> None:
    asked = [Scene("circle", "red", "white"), Scene("star", "yellow", "black"), Scene("ring", "green", "orange")]
    prompts = [caption(scene) for scene in asked]
    plain = painted(prompts, seed=4)
    assert right(asked, plain) == 1.0
    assert torch.equal(painted(prompts, seed=4, lora=0.0), plain)
    assert right([replace(scene, colour="purple") for scene in asked], painted(prompts, seed=4, lora=1.0)) == 1.0
