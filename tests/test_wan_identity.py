"""Node by node, Wan makes the video that the whole diffusers pipeline makes with the same seed, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from devices import on_cpu, on_device
from wan_support import FRAMES, SIZE, clip, conditioned, decode, denoise, node_by_node, parts_of, picture, to_pil, whole_pipeline

TEXT, IMAGE, VIDEO = "WanPipeline", "WanImageToVideoPipeline", "WanVideoToVideoPipeline"


@pytest.fixture(params=["fp32", "bf16"])
def precision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folders(wan_models_folder: Path, wan_host: object) -> Path:
    return wan_models_folder / "diffusers"


@pytest.mark.parametrize("model", ["Wan2.1-T2V-1.3B", "Wan2.2-T2V-A14B", "Wan2.2-TI2V-5B"])
def test_text_to_video(folders: Path, model: str, precision: str) -> None:
    expected = whole_pipeline(TEXT, folders / model, precision)
    frames = node_by_node(model, precision)
    assert frames.shape == (FRAMES, SIZE["height"], SIZE["width"], 3)
    assert torch.equal(frames, expected)
    assert expected.std() > 0.05


@pytest.mark.parametrize("model", ["Wan2.1-I2V-14B-480P", "Wan2.2-I2V-A14B", "Wan2.2-TI2V-5B"])
def test_image_to_video(folders: Path, model: str, precision: str) -> None:
    expected = whole_pipeline(IMAGE, folders / model, precision, image=to_pil(picture()))
    frames = node_by_node(model, precision, picture())
    assert torch.equal(frames, expected)
    assert not torch.equal(frames, node_by_node(model, precision, picture(flip=True)))


@pytest.mark.parametrize("model", ["Wan2.1-FLF2V-14B-720P", "Wan2.2-I2V-A14B"])
def test_first_and_last_frame(folders: Path, model: str, precision: str) -> None:
    first, last = picture(), picture(flip=True)
    expected = whole_pipeline(IMAGE, folders / model, precision, image=to_pil(first), last_image=to_pil(last))
    frames = node_by_node(model, precision, first, last)
    assert torch.equal(frames, expected)
    assert not torch.equal(frames, node_by_node(model, precision, first, first))


@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_video_to_video(folders: Path, precision: str, strength: float) -> None:
    model = "Wan2.1-T2V-1.3B"
    expected = whole_pipeline(VIDEO, folders / model, precision, video=clip().movedim(-1, 1)[None], strength=strength)
    with torch.inference_mode():
        parts = parts_of(model, precision)
        (latent,) = NODE_CLASS_MAPPINGS["WanEncode"]().encode(parts["vae"], clip())
        result = denoise(parts, conditioned(parts), latent=latent, denoise=strength)
        assert torch.equal(decode(parts["vae"], result), expected)
        unchanged = denoise(parts, conditioned(parts), latent=latent, denoise=0.0)
    assert torch.equal(unchanged["samples"], latent["samples"])


def test_a_guidance_for_each_expert(folders: Path) -> None:
    expected = whole_pipeline(TEXT, folders / "Wan2.2-T2V-A14B", "fp32", guidance_scale=4.0, guidance_scale_2=3.0)
    assert torch.equal(node_by_node("Wan2.2-T2V-A14B", "fp32", guidance=4.0, guidance_2=3.0), expected)
    # Wan's own configs have 4.0 above the boundary and 3.0 below it.
    assert torch.equal(node_by_node("Wan2.2-T2V-A14B", "fp32", guidance=-1.0), expected)
    assert not torch.equal(node_by_node("Wan2.2-T2V-A14B", "fp32", guidance=4.0), expected)


def test_without_guidance(folders: Path) -> None:
    expected = whole_pipeline(TEXT, folders / "Wan2.1-T2V-1.3B", "fp32", guidance_scale=1.0)
    assert torch.equal(node_by_node("Wan2.1-T2V-1.3B", "fp32", guidance=1.0), expected)


def test_vae_in_another_precision(folders: Path) -> None:
    expected = whole_pipeline(TEXT, folders / "Wan2.1-T2V-1.3B", "bf16", vae_dtype=torch.bfloat16)
    with torch.inference_mode():
        parts = parts_of("Wan2.1-T2V-1.3B", "bf16")
        (vae,) = NODE_CLASS_MAPPINGS["WanVAELoader"]().select("wan2.1-vae", "bf16")
        assert torch.equal(decode(vae, denoise(parts, conditioned(parts))), expected)


def test_the_vae_loader_stands_in_for_the_loader(wan_host: object) -> None:
    for model, vae in (("Wan2.2-T2V-A14B", "wan2.1-vae"), ("Wan2.2-TI2V-5B", "wan2.2-vae")):
        parts = parts_of(model)
        with torch.inference_mode():
            latent = denoise(parts, conditioned(parts), steps=1)
            (alone,) = NODE_CLASS_MAPPINGS["WanVAELoader"]().select(vae)
            assert torch.equal(decode(alone, latent), decode(parts["vae"], latent))


def test_tiles(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles are 256 pixels wide, so that 288 take two."""
    monkeypatch.setitem(SIZE, "width", 288)
    expected = whole_pipeline(TEXT, folders / "Wan2.1-T2V-1.3B", "fp32", tiling=True, num_inference_steps=1)
    with torch.inference_mode():
        parts = parts_of("Wan2.1-T2V-1.3B")
        latent = denoise(parts, conditioned(parts), steps=1)
        (tiled,) = NODE_CLASS_MAPPINGS["WanVAELoader"]().select("wan2.1-vae", tiling=True)
        assert torch.equal(decode(tiled, latent), expected)
        assert not torch.equal(decode(parts["vae"], latent), expected)


def test_shift(folders: Path) -> None:
    from diffusers import UniPCMultistepScheduler

    folder = folders / "Wan2.1-T2V-1.3B"
    scheduler = UniPCMultistepScheduler.from_pretrained(folder / "scheduler", flow_shift=7.5)
    expected = whole_pipeline(TEXT, folder, "fp32", **{"num_inference_steps": 4})
    with torch.inference_mode():
        shifted = node_by_node("Wan2.1-T2V-1.3B", "fp32", shift=7.5)
    assert not torch.equal(shifted, expected)
    assert torch.equal(shifted, _with_scheduler(folder, scheduler))


def _with_scheduler(folder: Path, scheduler: object) -> torch.Tensor:
    import diffusers
    from wan_support import NEGATIVE, PROMPT, SEED, STEPS

    vae = diffusers.AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    pipeline = diffusers.WanPipeline.from_pretrained(folder, vae=vae, scheduler=scheduler, torch_dtype=torch.float32)
    on_device(pipeline)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(SEED)
    call = {**SIZE, "num_frames": FRAMES, "num_inference_steps": STEPS, "guidance_scale": 5.0, "output_type": "pt"}
    with torch.inference_mode():
        return on_cpu(pipeline(PROMPT, NEGATIVE, **call, generator=generator).frames[0]).movedim(1, -1)


def test_an_image_of_another_size_is_cropped_and_scaled(folders: Path) -> None:
    """150x80 has the middle 120x80 in the shape of the clip; the pipeline itself scales with Lanczos."""
    from PIL.Image import Resampling

    large = picture(150, 80)
    fitted = to_pil(large).crop((15, 0, 135, 80)).resize((SIZE["width"], SIZE["height"]), Resampling.LANCZOS)
    expected = whole_pipeline(IMAGE, folders / "Wan2.1-I2V-14B-480P", "fp32", image=fitted)
    assert torch.equal(node_by_node("Wan2.1-I2V-14B-480P", "fp32", large), expected)


def test_native_conditioning_and_latents(wan_host: object) -> None:
    """The form in which ComfyUI's own nodes hand over an image: WanImageToVideo's mask has one channel, Wan22ImageToVideoLatent's
    is in the latent, and neither carries keys of ours."""
    with torch.inference_mode():
        parts = parts_of("Wan2.2-I2V-A14B")
        inputs = conditioned(parts, picture())
        expected = denoise(parts, inputs)["samples"]
        extras = dict(inputs["positive"][0][1])
        assert extras["concat_latent_image"].shape == (1, 16, 3, 8, 12)
        assert extras["concat_mask"].shape == (1, 4, 3, 8, 12)
        assert (extras["concat_mask"][:, :, 0] == 0).all()
        assert (extras["concat_mask"][:, :, 1:] == 1).all()
        extras["concat_mask"] = extras["concat_mask"][:, :1]
        native = [[inputs["positive"][0][0], extras]]
        assert torch.equal(denoise(parts, inputs | {"positive": native})["samples"], expected)

        parts = parts_of("Wan2.2-TI2V-5B")
        inputs = conditioned(parts, picture())
        assert set(inputs["latent"]) == {"samples", "noise_mask"}
        assert inputs["latent"]["noise_mask"].shape == (1, 1, 3, 4, 6)


def test_latents_are_in_vae_space(wan_host: object) -> None:
    """What WanEncode gives is what the VAE itself gives, and a finished run is where decoding begins."""
    from advanced_models.loaders.store import STORE

    with torch.inference_mode():
        parts = parts_of("Wan2.1-T2V-1.3B")
        (latent,) = NODE_CLASS_MAPPINGS["WanEncode"]().encode(parts["vae"], clip())
        result = denoise(parts, conditioned(parts))
        with STORE.use(parts["vae"]) as (vae,):
            encoded = vae.encode(on_device(2 * clip().permute(3, 0, 1, 2)[None] - 1)).latent_dist.mode()
            assert torch.equal(on_cpu(latent["samples"]), on_cpu(encoded))
            frames = on_cpu((vae.decode(on_device(result["samples"])).sample / 2 + 0.5)[0].permute(1, 2, 3, 0))
        # Another node that changes the samples carries our key along; the samples count then.
        brighter = result | {"samples": result["samples"] * 1.5}
        assert torch.equal(decode(parts["vae"], brighter), decode(parts["vae"], {"samples": brighter["samples"]}))
        assert torch.equal(decode(parts["vae"], result), frames)
