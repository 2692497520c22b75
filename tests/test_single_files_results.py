"""Models of which the user has single files paint what their folders paint, bit for bit, and find their parts without being told."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import wan_support
from advanced_models.loaders import sources
from advanced_models.loaders.component import select_component
from advanced_models.loaders.store import STORE
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from safetensors.torch import save_file
from single_file_layouts import as_it_is, bfl_flux, ldm_vae, original_wan, original_wan_vae, stored, with_prefix
from single_file_models import Own
from test_single_files_vae import DEPTH, rebuild


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt that was encoded before would not ask for its encoders."""
    monkeypatch.setenv("ADVANCED_MODELS_PROMPT_CACHE_MB", "0")


def flux(**source: str) -> torch.Tensor:
    load, encode, denoise, decode = (NODE_CLASS_MAPPINGS[f"Flux{name}"]() for name in ("Loader", "PromptEncode", "Denoise", "Decode"))
    with torch.inference_mode():
        transformer, clip_l, t5_xxl, vae, _ = load.select("FLUX.1-schnell", **source)
        (conditioning,) = encode.encode(clip_l, t5_xxl, "a red circle")
        (latent,) = denoise.denoise(transformer, conditioning, width=64, height=64, seed=7, steps=2)
        images: torch.Tensor = decode.decode(vae, latent)[0].clone()
    return images


def move(folder: Path, role: str, kind: str, name: str, tensors: Any) -> None:
    """Put a part into a file, and take its folder away."""
    save_file(tensors, folder.parents[1] / kind / f"{name}.safetensors")
    shutil.rmtree(folder / role)


def test_flux_from_files_that_auto_finds(own: Own) -> None:
    folder = own("FLUX.1-schnell")
    expected = flux()
    move(folder, "transformer", "diffusion_models", "any name", with_prefix(bfl_flux(stored(folder, "transformer"))))
    move(folder, "text_encoder", "text_encoders", "clip", as_it_is(stored(folder, "text_encoder")))
    move(folder, "text_encoder_2", "text_encoders", "t5", as_it_is(stored(folder, "text_encoder_2")))
    move(folder, "vae", "vae", "ae", ldm_vae(stored(folder, "vae")))
    for role in ("transformer", "text_encoder", "text_encoder_2", "vae"):
        assert sources.locate(select_component("FLUX.1-schnell", role)).file is not None
    STORE.clear()
    assert torch.equal(flux(), expected)


def test_wan_from_two_files_and_what_auto_finds(own: Own) -> None:
    folder = own("Wan2.2-T2V-A14B", lambda folder: rebuild(folder, **DEPTH))

    def video(**source: str) -> torch.Tensor:
        with torch.inference_mode():
            loader = NODE_CLASS_MAPPINGS["WanLoader"]()
            parts = dict(zip(loader.RETURN_NAMES, loader.select("Wan2.2-T2V-A14B", **source), strict=True))
            return wan_support.decode(parts["vae"], wan_support.denoise(parts, wan_support.conditioned(parts)))

    expected = video()
    move(folder, "transformer", "diffusion_models", "a", original_wan(stored(folder, "transformer")))
    move(folder, "transformer_2", "diffusion_models", "b", original_wan(stored(folder, "transformer_2")))
    tokenizer = torch.frombuffer(bytearray((folder / "tokenizer" / "spiece.model").read_bytes()), dtype=torch.uint8)
    move(folder, "text_encoder", "text_encoders", "umt5", stored(folder, "text_encoder") | {"spiece_model": tokenizer})
    move(folder, "vae", "vae", "vae", original_wan_vae(stored(folder, "vae")))
    shutil.rmtree(folder)
    STORE.clear()
    high, low = (f"diffusion_models/{name}.safetensors" for name in "ab")
    assert torch.equal(video(source=high, source_2=low), expected)
    assert not torch.equal(video(source=low, source_2=high), expected)


def qwen_image(source: str = "auto") -> torch.Tensor:
    names = ("QwenImageLoader", "QwenImagePromptEncode", "QwenImageDenoise", "QwenImageDecode")
    load, encode, denoise, decode = (NODE_CLASS_MAPPINGS[name]() for name in names)
    with torch.inference_mode():
        parts = dict(zip(load.RETURN_NAMES, load.select("Qwen-Image", source=source), strict=True))
        positive, negative = encode.encode(parts["qwen_vl"], "a red circle")
        (latent,) = denoise.denoise(parts["transformer"], positive, width=64, height=64, seed=7, steps=2, negative=negative)
        images: torch.Tensor = decode.decode(parts["vae"], latent)[0].clone()
    return images


def test_qwen_image_from_files(own: Own) -> None:
    folder = own("Qwen-Image", lambda folder: rebuild(folder, **DEPTH))
    expected = qwen_image()
    move(folder, "transformer", "diffusion_models", "dit", stored(folder, "transformer"))
    move(folder, "text_encoder", "text_encoders", "vl", stored(folder, "text_encoder"))
    move(folder, "vae", "vae", "vae", original_wan_vae(stored(folder, "vae")))
    STORE.clear()
    assert torch.equal(qwen_image("diffusion_models/dit.safetensors"), expected)
