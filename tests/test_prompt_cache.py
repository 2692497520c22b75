"""An unchanged prompt is encoded once, whatever happens to the process in between."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.store import Store
from advanced_models.nodes.flux import FluxLoader, FluxPromptEncode
from advanced_models.nodes.qwen_image import QwenImageLoader, QwenImagePromptEncode
from advanced_models.pipelines import flux, prompt_cache, qwen_image_prompt, tiles
from advanced_models.pipelines.prompt_cache import FOLDER, SIZE_VARIABLE
from qwen_models import picture, qwen_folder, qwen_host, small_pictures

__all__ = ["qwen_folder", "qwen_host", "small_pictures"]


@pytest.fixture
def restart(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Store]:
    """Forget everything that a process knows; the store that it starts with then."""

    def start() -> Store:
        store = Store()
        for module in (flux, qwen_image_prompt, tiles):
            monkeypatch.setattr(module, "STORE", store)
        return store

    return start


def encode_flux(prompt: str = "a red fox", precision: Any = "bf16", **settings: Any) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        _, clip_l, t5_xxl, _, _ = FluxLoader().select("FLUX.1-dev", precision)
        [[embeds, extras]] = FluxPromptEncode().encode(clip_l, t5_xxl, prompt, **settings)[0]
    return embeds, extras["pooled_output"]


def files(host: StandaloneHost) -> list[Path]:
    return sorted((host.user_folder / FOLDER).glob("*"))


def test_flux_after_a_restart(use_host: StandaloneHost, restart: Callable[[], Store]) -> None:
    store = restart()
    first = encode_flux()
    assert store.loads == 2
    store = restart()
    again = encode_flux()
    assert store.loads == 0
    assert all(torch.equal(one, other) and one.dtype == other.dtype for one, other in zip(first, again, strict=True))
    assert len(files(use_host)) == 1


def test_what_makes_it_another_prompt(use_host: StandaloneHost, restart: Callable[[], Store]) -> None:
    encode_flux()
    for change in ({"prompt": "a red fox "}, {"clip_prompt": "oil painting"}, {"precision": "fp32"}):
        store = restart()
        encode_flux(**change)
        assert store.loads == 2, change
    store = restart()
    encode_flux(guidance=2.0)  # no matter of the encoders
    assert store.loads == 0
    assert len(files(use_host)) == 4


def test_qwen_image_with_its_picture(qwen_host: StandaloneHost, restart: Callable[[], Store], small_pictures: None) -> None:
    def encode(image: torch.Tensor) -> tuple[torch.Tensor, int]:
        store = restart()
        with torch.inference_mode():
            _, encoder, vae, _ = QwenImageLoader().select("Qwen-Image-Edit")
            [[embeds, _]], _ = QwenImagePromptEncode().encode(encoder, "make the sky blue", "blurry", vae=vae, image_1=image)
        return embeds, store.loads

    first, loads = encode(picture())
    assert loads == 2  # the encoder and the VAE
    again, loads = encode(picture())
    assert loads == 1  # the VAE: latents are not prompts
    assert torch.equal(first, again)
    other, loads = encode(picture(phase=0.5))
    assert loads == 2
    assert not torch.equal(first, other)


def test_the_mask_of_padded_prompts_is_kept(qwen_host: StandaloneHost, restart: Callable[[], Store]) -> None:
    def encode() -> list[list[Any]]:
        _, encoder, _, _ = QwenImageLoader().select("Qwen-Image")
        with torch.inference_mode():
            positive, _ = QwenImagePromptEncode().encode(encoder, "a fox\na long prompt about a cat", one_prompt_per_line=True)
        return positive

    restart()
    [[_, first]] = encode()
    store = restart()
    [[_, again]] = encode()
    assert store.loads == 0
    assert torch.equal(first["attention_mask"], again["attention_mask"])


def test_other_weights_under_the_same_name(
    use_host: StandaloneHost, restart: Callable[[], Store], models_folder: Path, tmp_path: Path
) -> None:
    """Even of the same size and with the old file's time."""
    from safetensors.torch import load_file, save_file

    models = tmp_path / "copied"
    shutil.copytree(models_folder / "diffusers" / "FLUX.1-dev", models / "diffusers" / "FLUX.1-dev")
    first, _ = encode_flux()
    use_host.models = (models,)
    store = restart()
    encode_flux()
    assert store.loads == 0  # a copy in another place holds the same
    file = next((models / "diffusers" / "FLUX.1-dev" / "text_encoder_2").glob("*.safetensors"))
    stat = file.stat()
    tensors = {name: tensor * 1.5 for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    assert file.stat().st_size == stat.st_size
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    store = restart()
    changed, _ = encode_flux()
    assert store.loads == 2
    assert not torch.equal(first, changed)


def test_off(use_host: StandaloneHost, restart: Callable[[], Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIZE_VARIABLE, "0")
    for _ in range(2):
        store = restart()
        encode_flux()
        assert store.loads == 2
    assert files(use_host) == []


def test_a_size_that_is_no_number(use_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIZE_VARIABLE, "2 GB")
    with pytest.raises(UserError, match="give the megabytes"):
        encode_flux()


def test_the_longest_unused_go_first(use_host: StandaloneHost, restart: Callable[[], Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_cache, "DEFAULT_MEGABYTES", 0.1)
    # 512 tokens of 32 numbers in bf16: 33 kB each, three of them fit.
    for index, prompt in enumerate(("one", "two", "three")):
        encode_flux(prompt)
        newest = max(files(use_host), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (index, index))
    assert len(files(use_host)) == 3
    encode_flux("one")
    encode_flux("four")
    assert len(files(use_host)) == 3
    for prompt, loads in (("one", 0), ("four", 0), ("three", 0), ("two", 2)):
        store = restart()
        encode_flux(prompt)
        assert store.loads == loads, prompt


def test_a_damaged_file_is_written_anew(use_host: StandaloneHost, restart: Callable[[], Store]) -> None:
    first, _ = encode_flux()
    [file] = files(use_host)
    file.write_bytes(file.read_bytes()[:100])
    store = restart()
    again, _ = encode_flux()
    assert store.loads == 2
    assert torch.equal(first, again)
    store = restart()
    encode_flux()
    assert store.loads == 0


def test_a_folder_that_cannot_be_written_stops_nobody(use_host: StandaloneHost, tmp_path: Path) -> None:
    (use_host.user_folder / FOLDER).write_text("in the way")
    embeds, _ = encode_flux()
    assert embeds.shape == (1, 512, 32)


def test_the_text_is_not_on_disk(use_host: StandaloneHost) -> None:
    encode_flux("a very private prompt")
    [file] = files(use_host)
    assert b"private" not in file.read_bytes()
    assert "private" not in file.name
