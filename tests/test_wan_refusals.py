"""What cannot work with Wan is refused in one sentence, before a weight is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.loaders.component import select_component
from advanced_models.loaders.store import STORE
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from wan_support import parts_of, picture

TEXT = {"1.3B": "Wan2.1-T2V-1.3B", "A14B": "Wan2.2-T2V-A14B", "5B": "Wan2.2-TI2V-5B"}
IMAGE = {"I2V": "Wan2.1-I2V-14B-480P", "FLF": "Wan2.1-FLF2V-14B-720P", "A14B": "Wan2.2-I2V-A14B"}
SIZE = {"width": 96, "height": 64, "frames": 9}
# The small UMT5 is 32 wide, the small CLIP too.
EMBEDS = torch.zeros(1, 512, 32)


@pytest.fixture(autouse=True)
def reads_no_weights(wan_host: object) -> Iterator[None]:
    before = STORE.loads
    yield
    assert STORE.loads == before


def refused(told: str, call: Callable[[], object]) -> None:
    with pytest.raises(UserError, match=told) as refusal:
        call()
    assert "/tmp" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def with_extras(**extras: Any) -> list[list[Any]]:
    return [[EMBEDS, extras]]


def image_extras(channels: int = 16, frames: int = 3, last: bool = False, clip: int | None = None) -> dict[str, Any]:
    """What WanImageEncode puts into the conditioning."""
    mask = torch.ones(1, 4, frames, 8, 12)
    mask[:, :, 0] = 0
    if last:
        mask[:, -1, -1] = 0
    extras: dict[str, Any] = {"concat_latent_image": torch.zeros(1, channels, frames, 8, 12), "concat_mask": mask}
    if clip is not None:
        states = type("Output", (), {"penultimate_hidden_states": torch.zeros(1, clip, 32)})
        extras["clip_vision_output"] = states()
    return extras


def denoise(model: str, **settings: Any) -> None:
    call = {"positive": with_extras(), "negative": with_extras(), **SIZE, "seed": 0, "steps": 2, **settings}
    NODE_CLASS_MAPPINGS["WanDenoise"]().denoise(parts_of(model)["transformer"], **call)


@pytest.mark.parametrize(
    ("frames", "nearest"), [(80, "77 or 81"), (82, "81 or 85"), (120, "117 or 121"), (2, "1 or 5"), (0, "1 or 5"), (-3, "1 or 5")]
)
def test_frames_name_the_two_nearest(frames: int, nearest: str) -> None:
    refused(f"nearest are {nearest}", lambda: denoise(TEXT["1.3B"], frames=frames))
    for node in ("WanDenoise", "WanImageEncode"):
        assert f"nearest are {nearest}" in NODE_CLASS_MAPPINGS[node].VALIDATE_INPUTS(frames=frames)


@pytest.mark.parametrize(
    ("model", "size", "told"),
    [
        ("1.3B", {"width": 100}, "width 100 is not a multiple of 16.*use 96 or 112"),
        ("1.3B", {"height": 8}, "height 8 is not a multiple of 16.*use 16"),
        ("A14B", {"height": 72}, "height 72 .*use 64 or 80"),
        ("5B", {"width": 80}, "width 80 is not a multiple of 32.*use 64 or 96"),
    ],
)
def test_sizes_name_the_nearest(model: str, size: dict[str, int], told: str) -> None:
    refused(told, lambda: denoise(TEXT[model], **size))


def test_sizes_of_encoded_clips() -> None:
    encode = NODE_CLASS_MAPPINGS["WanEncode"]()
    vae, vae_22 = parts_of(TEXT["1.3B"])["vae"], parts_of(TEXT["5B"])["vae"]
    refused("nearest are 5 or 9", lambda: encode.encode(vae, torch.zeros(7, 64, 96, 3)))
    refused("height 72 is not a multiple of 16", lambda: encode.encode(vae, torch.zeros(9, 72, 96, 3)))
    refused("width 48 is not a multiple of 32", lambda: encode.encode(vae_22, torch.zeros(9, 64, 48, 3)))


def test_the_wrong_vae_names_the_right_one() -> None:
    decode = NODE_CLASS_MAPPINGS["WanDecode"]()
    vae_21, vae_22 = parts_of(TEXT["A14B"])["vae"], parts_of(TEXT["5B"])["vae"]
    refused(
        "48 channels and wan2.1-vae takes 16: connect wan2.2-vae", lambda: decode.decode(vae_21, {"samples": torch.zeros(1, 48, 3, 4, 6)})
    )
    refused(
        "16 channels and wan2.2-vae takes 48: connect wan2.1-vae", lambda: decode.decode(vae_22, {"samples": torch.zeros(1, 16, 3, 4, 6)})
    )
    refused("latents of a picture", lambda: decode.decode(vae_21, {"samples": torch.zeros(1, 16, 8, 12)}))
    refused("32 channels .*no Wan VAE made them", lambda: decode.decode(vae_21, {"samples": torch.zeros(1, 32, 3, 4, 6)}))


def graph_with_vae(vae: dict[str, Any], link: list[Any] | None = None) -> dict[str, Any]:
    """A text-to-video graph with TI2V-5B whose WanDecode takes the VAE of node 9."""
    return {
        "1": {"class_type": "WanLoader", "inputs": {"model": TEXT["5B"]}},
        "2": {"class_type": "WanDenoise", "inputs": {"transformer": ["1", 0]}},
        "3": {"class_type": "WanDecode", "inputs": {"latent": ["2", 0], "vae": link or ["9", 0]}},
        "9": vae,
    }


def test_the_wrong_vae_is_seen_in_the_graph_before_anything_runs() -> None:
    told = r"TI2V 5B makes latents for wan2\.2-vae, and WanDecode \(node 3\) is given wan2\.1-vae: connect .* choose wan2\.2-vae"
    loader = NODE_CLASS_MAPPINGS["WanLoader"]()
    wrong = graph_with_vae({"class_type": "WanVAELoader", "inputs": {"vae": "wan2.1-vae"}})
    refused(told, lambda: loader.select(TEXT["5B"], prompt=wrong, unique_id="1"))
    refused(told, lambda: denoise(TEXT["5B"], prompt=wrong, unique_id="2"))
    of_another_model = graph_with_vae({"class_type": "WanLoader", "inputs": {"model": TEXT["A14B"]}}, ["9", 2])
    refused(told, lambda: loader.select(TEXT["5B"], prompt=of_another_model, unique_id=1))
    for right in ("wan2.2-vae", ["4", 0]):  # a wire into the widget says nothing yet
        graph = graph_with_vae({"class_type": "WanVAELoader", "inputs": {"vae": right}})
        assert loader.select(TEXT["5B"], prompt=graph, unique_id="1")[0].transformer.model == TEXT["5B"]


def test_latents_of_the_wrong_vae() -> None:
    wrong = {"samples": torch.zeros(1, 16, 3, 8, 12)}
    refused("TI2V 5B takes latents of wan2.2-vae.*made by wan2.1-vae", lambda: denoise(TEXT["5B"], latent=wrong))
    wrong = {"samples": torch.zeros(1, 48, 3, 4, 6)}
    refused("A14B takes latents of wan2.1-vae.*made by wan2.2-vae", lambda: denoise(TEXT["A14B"], latent=wrong))
    refused("takes latents of wan2.1-vae.*WanEncode", lambda: denoise(TEXT["1.3B"], latent={"samples": torch.zeros(1, 16, 8, 12)}))
    odd = {"samples": torch.zeros(1, 16, 3, 9, 12)}
    refused("height 72 is not a multiple of 16", lambda: denoise(TEXT["1.3B"], latent=odd))


def test_an_image_from_the_wrong_vae() -> None:
    """A14B with the VAE of 2.2: WanImageEncode gives a latent with a mask, and nothing in the conditioning."""
    latent = {"samples": torch.zeros(1, 48, 3, 4, 6), "noise_mask": torch.ones(1, 1, 3, 4, 6)}
    refused("put WanImageEncode between", lambda: denoise(IMAGE["A14B"], latent=latent))
    image = with_extras(**image_extras(channels=48))
    refused("encoded with wan2.2-vae, and Wan 2.2 I2V A14B takes wan2.1-vae", lambda: denoise(IMAGE["A14B"], positive=image))


def test_image_models_need_an_image_and_text_models_take_none() -> None:
    refused("makes videos from an image", lambda: denoise(IMAGE["A14B"]))
    image = with_extras(**image_extras())
    refused("does not read an encoded image.*choose an I2V model", lambda: denoise(TEXT["A14B"], positive=image))
    refused("does not read an encoded image.*own VAE", lambda: denoise(TEXT["5B"], positive=image))


def test_masks() -> None:
    masked = {"samples": torch.zeros(1, 16, 3, 8, 12), "noise_mask": torch.ones(1, 1, 3, 8, 12)}
    refused("cannot keep masked parts", lambda: denoise(TEXT["1.3B"], latent=masked))
    refused("cannot keep masked parts", lambda: denoise(IMAGE["A14B"], positive=with_extras(**image_extras()), latent=masked))
    flat = {"samples": torch.zeros(1, 48, 3, 4, 6), "noise_mask": torch.ones(1, 64, 96)}
    refused("noise mask has the shape", lambda: denoise(TEXT["5B"], latent=flat))


def test_image_and_latent_of_different_clips() -> None:
    latent = {"samples": torch.zeros(1, 16, 5, 8, 12)}
    refused("connect WanImageEncode's own latent", lambda: denoise(IMAGE["A14B"], positive=with_extras(**image_extras()), latent=latent))


def test_clip_vision() -> None:
    refused("connect WanLoader's image_encoder", lambda: denoise(IMAGE["I2V"], positive=with_extras(**image_extras())))
    narrow = with_extras(**image_extras(clip=257))
    narrow[0][1]["clip_vision_output"].penultimate_hidden_states = torch.zeros(1, 257, 8)
    refused("CLIP ViT-H", lambda: denoise(IMAGE["I2V"], positive=narrow))
    two = with_extras(**image_extras(last=True, clip=514))
    refused("trained on a first image alone: disconnect end_image", lambda: denoise(IMAGE["I2V"], positive=two))
    one = with_extras(**image_extras(clip=257))
    refused("trained on a first and a last image: connect end_image", lambda: denoise(IMAGE["FLF"], positive=one))


def test_images_that_cannot_be_encoded() -> None:
    encode, parts = NODE_CLASS_MAPPINGS["WanImageEncode"](), parts_of(TEXT["5B"])
    refused(
        "takes a first image only",
        lambda: encode.encode(with_extras(), with_extras(), parts["vae"], picture(), **SIZE, end_image=picture()),
    )
    vae = parts_of(IMAGE["A14B"])["vae"]
    refused("one image at a time", lambda: encode.encode(with_extras(), with_extras(), vae, torch.zeros(2, 64, 96, 3), **SIZE))
    one_frame = {**SIZE, "frames": 1}
    refused("at least 5 frames", lambda: encode.encode(with_extras(), with_extras(), vae, picture(), **one_frame, end_image=picture()))


def test_conditioning_of_other_encoders() -> None:
    flux = [[torch.zeros(1, 256, 64), {"pooled_output": torch.zeros(1, 32)}]]
    refused("64 numbers wide where UMT5-XXL's 32", lambda: denoise(TEXT["1.3B"], positive=flux))
    refused("64 numbers wide", lambda: denoise(TEXT["1.3B"], negative=flux))
    refused("encoded to 600 tokens, and Wan takes 512", lambda: denoise(TEXT["1.3B"], positive=[[torch.zeros(1, 600, 32), {}]]))
    refused("as positive and got 2", lambda: denoise(TEXT["1.3B"], positive=with_extras() * 2))
    clip_l = select_component("FLUX.1-dev", "text_encoder")
    refused("is a CLIP_L, where a UMT5_XXL belongs", lambda: NODE_CLASS_MAPPINGS["WanPromptEncode"]().encode(clip_l, "a fox"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"denoise": 1.5}, "outside 0..1"),
        ({"denoise": 0.5}, "needs a video to start from"),
        ({"denoise": 0.5, "latent": {"samples": torch.zeros(1, 16, 3, 8, 12)}}, "needs a video to start from"),
        ({"denoise": 0.1, "steps": 5, "latent": {"samples": torch.ones(1, 16, 3, 8, 12)}}, "less than one step"),
        ({"guidance": -2.0}, "guidance -2.0"),
        ({"guidance_2": -2.0}, "guidance_2 -2.0"),
        ({"start_step": 3, "end_step": 3}, "leaves nothing to do"),
        ({"start_step": 2}, "not within this run.* 0 to 1"),
        ({"start_step": 1}, "carries none"),
    ],
)
def test_settings(settings: dict[str, Any], told: str) -> None:
    refused(told, lambda: denoise(TEXT["1.3B"], **settings))


def test_settings_are_refused_before_the_graph_runs() -> None:
    validate: Callable[..., Any] = NODE_CLASS_MAPPINGS["WanDenoise"].VALIDATE_INPUTS  # type: ignore[attr-defined]
    assert validate(width=832, height=480, frames=81, denoise=1.0, guidance=-1.0, guidance_2=-1.0, start_step=0, end_step=10000) is True
    assert validate(frames=None, width=None, height=480) is True
    assert validate(frames=80, latent=None) is True  # the latent has its own size
    assert "multiple of 16" in validate(width=100, height=480)
    assert "outside 0..1" in validate(denoise=-0.5)
    assert "guidance -3" in validate(guidance=-3)
    assert "leaves nothing" in validate(start_step=4, end_step=2)


def test_a_model_that_is_not_here_says_how_to_get_it() -> None:
    parts = parts_of("Wan2.1-T2V-14B")
    refused("transformer of Wan 2.1 T2V 14B .*`hf download Wan-AI/Wan2.1-T2V-14B-Diffusers", lambda: denoise_parts(parts))


def denoise_parts(parts: dict[str, Any]) -> None:
    wide = [[torch.zeros(1, 512, 4096), {}]]
    NODE_CLASS_MAPPINGS["WanDenoise"]().denoise(parts["transformer"], wide, wide, **SIZE, seed=0)


def test_only_models_that_these_nodes_can_run_are_offered() -> None:
    models = NODE_CLASS_MAPPINGS["WanLoader"].INPUT_TYPES()["required"]["model"][0]  # type: ignore[attr-defined]
    assert set(models) >= {*TEXT.values(), *IMAGE.values(), "Wan2.1-T2V-14B", "Wan2.1-I2V-14B-720P"}
    assert not any("VACE" in model or "Animate" in model for model in models)
    vaes = NODE_CLASS_MAPPINGS["WanVAELoader"].INPUT_TYPES()["required"]["vae"][0]  # type: ignore[attr-defined]
    assert sorted(vaes) == ["wan2.1-vae", "wan2.2-vae"]
