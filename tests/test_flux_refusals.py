"""What cannot work with FLUX is refused in one sentence, before a weight is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.loaders.component import Component, select_component
from advanced_models.loaders.store import STORE
from advanced_models.nodes.flux import FluxDecode, FluxDenoise, FluxEncode, FluxLoader, FluxPromptEncode

Parts = dict[str, Component]


@pytest.fixture
def schnell(use_host: object) -> Parts:
    return dict(zip(FluxLoader.RETURN_NAMES, FluxLoader().select("FLUX.1-schnell"), strict=True))


@pytest.fixture
def dev(use_host: object) -> Parts:
    return dict(zip(FluxLoader.RETURN_NAMES, FluxLoader().select("FLUX.1-dev"), strict=True))


def conditioning(width: int = 32, pooled: int | None = 32, tokens: int = 8, **extras: Any) -> list[list[Any]]:
    """Conditioning with the widths of the small models' encoders, unless told otherwise."""
    vector = None if pooled is None else torch.zeros(1, pooled)
    return [[torch.zeros(1, tokens, width), {"pooled_output": vector, **extras}]]


def refusal_of(call: Callable[[], Any]) -> str:
    """The sentence, provided that nothing was loaded on the way to it."""
    loads = STORE.loads
    with pytest.raises(UserError) as refused:
        call()
    assert STORE.loads == loads
    return str(refused.value)


def latent(channels: int = 16) -> dict[str, torch.Tensor]:
    return {"samples": torch.zeros(1, channels, 8, 8)}


@pytest.mark.parametrize(
    ("width", "height", "sentence"),
    [
        (1000, 1024, "The width 1000 is not a multiple of 16, which FLUX needs: use 992 or 1008."),
        (1024, 7, "The height 7 is not a multiple of 16, which FLUX needs: use 16."),
        (-16, 64, "The width -16 is not a multiple of 16, which FLUX needs: use 16."),
    ],
)
def test_sizes_that_do_not_divide(dev: Parts, width: int, height: int, sentence: str) -> None:
    assert FluxDenoise.VALIDATE_INPUTS(width=width, height=height, denoise=1.0) == sentence
    assert refusal_of(lambda: FluxDenoise().denoise(dev["transformer"], conditioning(), width, height, seed=0)) == sentence


def test_a_picture_that_does_not_divide(dev: Parts) -> None:
    said = refusal_of(lambda: FluxEncode().encode(dev["vae"], torch.zeros(1, 100, 64, 3)))
    assert said == "The height 100 is not a multiple of 16, which FLUX needs: use 96 or 112."


def test_a_mask_without_a_picture(dev: Parts) -> None:
    assert "A mask needs the picture" in str(FluxDenoise.VALIDATE_INPUTS(width=64, height=64, denoise=1.0, mask=None))
    run = lambda: FluxDenoise().denoise(dev["transformer"], conditioning(), 64, 64, seed=0, mask=torch.ones(1, 64, 64))  # noqa: E731
    assert "A mask needs the picture" in refusal_of(run)


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_strength_outside_its_range(dev: Parts, strength: float) -> None:
    assert "is outside 0..1" in str(FluxDenoise.VALIDATE_INPUTS(width=64, height=64, denoise=strength, latent=None))
    run = lambda: FluxDenoise().denoise(dev["transformer"], conditioning(), 64, 64, seed=0, denoise=strength, latent=latent())  # noqa: E731
    assert "is outside 0..1" in refusal_of(run)


def test_partial_denoise_without_a_picture(dev: Parts) -> None:
    assert "needs a picture to start from" in str(FluxDenoise.VALIDATE_INPUTS(width=64, height=64, denoise=0.5))
    assert FluxDenoise.VALIDATE_INPUTS(width=64, height=64, denoise=0.5, latent=None) is True


def test_guidance_on_schnell(schnell: Parts) -> None:
    said = refusal_of(lambda: FluxPromptEncode().encode(schnell["clip_l"], schnell["t5_xxl"], "a fox", guidance=3.5))
    assert said.startswith("FLUX.1 [schnell] takes no guidance")
    run = lambda: FluxDenoise().denoise(schnell["transformer"], conditioning(guidance=3.5), 64, 64, seed=0)  # noqa: E731
    assert refusal_of(run) == said


def test_encoders_in_each_others_place(dev: Parts) -> None:
    said = refusal_of(lambda: FluxPromptEncode().encode(dev["t5_xxl"], dev["clip_l"], "a fox"))
    assert said == "The text encoder 2 of FLUX.1 [dev] is a T5_XXL, where a CLIP_L belongs."


@pytest.mark.parametrize("wrong", [{"width": 64}, {"pooled": 16}, {"pooled": None}])
def test_conditioning_of_other_encoders(dev: Parts, wrong: dict[str, Any]) -> None:
    said = refusal_of(lambda: FluxDenoise().denoise(dev["transformer"], conditioning(**wrong), 64, 64, seed=0))
    assert said.startswith("This conditioning was not made for FLUX")


def test_a_prompt_longer_than_schnell_takes(schnell: Parts) -> None:
    said = refusal_of(lambda: FluxDenoise().denoise(schnell["transformer"], conditioning(tokens=512), 64, 64, seed=0))
    assert said.startswith("The prompt was encoded to 512 tokens, and FLUX.1 [schnell] takes 256")


def test_combined_conditioning(dev: Parts) -> None:
    said = refusal_of(lambda: FluxDenoise().denoise(dev["transformer"], conditioning() + conditioning(), 64, 64, seed=0))
    assert "takes one encoded prompt and got 2" in said


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (1, 16, 3, 8, 8)])
def test_latents_of_another_vae(dev: Parts, shape: tuple[int, ...]) -> None:
    wrong = {"samples": torch.zeros(shape)}
    assert refusal_of(lambda: FluxDecode().decode(dev["vae"], wrong)).startswith("These latents have the shape")
    run = lambda: FluxDenoise().denoise(dev["transformer"], conditioning(), 64, 64, seed=0, latent=wrong)  # noqa: E731
    assert refusal_of(run).startswith("These latents have the shape")


def test_two_prompts_for_three_pictures(dev: Parts) -> None:
    two = [[torch.zeros(2, 8, 32), {"pooled_output": torch.zeros(2, 32)}]]
    three = {"samples": torch.zeros(3, 16, 8, 8)}
    said = refusal_of(lambda: FluxDenoise().denoise(dev["transformer"], two, 64, 64, seed=0, latent=three))
    assert said.startswith("There are 2 prompts for 3 pictures")


def test_unknown_model_and_precision(use_host: object) -> None:
    with pytest.raises(UserError, match=r"FLUX\.1-schnell"):
        select_component("FLUX.1-schnel", "transformer")
    with pytest.raises(UserError, match="There is no precision 'fp12'"):
        select_component("FLUX.1-schnell", "transformer", precision="fp12")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="has no image encoder"):
        select_component("FLUX.1-schnell", "image_encoder")


def test_every_input_is_explained() -> None:
    for node in (FluxLoader, FluxPromptEncode, FluxEncode, FluxDenoise, FluxDecode):
        inputs = node.INPUT_TYPES()
        for name, (_, options) in {**inputs["required"], **inputs.get("optional", {})}.items():
            assert len(options["tooltip"]) > 10, f"{node.__name__}.{name}"
        assert len(node.OUTPUT_TOOLTIPS) == len(node.RETURN_TYPES)
        assert node.CATEGORY == "Advanced Models/FLUX"
