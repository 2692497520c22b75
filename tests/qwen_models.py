"""Small Qwen models for the tests, built once a session, and what tests of Qwen share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import advanced_models.host
import pytest
import torch
from advanced_models.demo.build import build
from advanced_models.demo.tiny_qwen import QWEN_IMAGE_LAYOUTS
from advanced_models.host.standalone import StandaloneHost

IMAGE_MODELS = ("Qwen-Image", "Qwen-Image-Edit", "Qwen-Image-Edit-2509", "Qwen-Image-Edit-2511", "Qwen-Image-Layered")
CHAT_MODEL = "Qwen2.5-VL-7B-Instruct"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

# Of 1024x1024, to which the edit pipelines scale every picture: small models would take seconds for each.
SMALL_AREA = 64 * 64


def dtype_option(precision: str) -> dict[str, Any]:
    """How a pipeline's `from_pretrained` is told the dtype: diffusers renamed the argument in 0.42."""
    import diffusers

    release = tuple(int(part) for part in diffusers.__version__.split(".")[:2])
    return {"dtype" if release >= (0, 42) else "torch_dtype": DTYPES[precision]}


def too_new(model: str) -> bool:
    """Whether the installed diffusers is too old for a model."""
    return bool(QWEN_IMAGE_LAYOUTS[model].missing_from_diffusers())


@pytest.fixture(scope="session")
def qwen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with small Qwen models in bf16. Shared: tests must not write into it."""
    folder = tmp_path_factory.mktemp("qwen")
    for model in (*IMAGE_MODELS, CHAT_MODEL):
        if model not in QWEN_IMAGE_LAYOUTS or not too_new(model):
            build(model, folder / "diffusers" / model)
    return folder


@pytest.fixture
def qwen_host(qwen_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandaloneHost:
    """A host on the small Qwen models, in place for this test alone."""
    return _in_place(StandaloneHost.below(tmp_path, models=(qwen_folder,)), monkeypatch)


def _in_place(host: StandaloneHost, monkeypatch: pytest.MonkeyPatch) -> StandaloneHost:
    for folder in (host.input_folder, host.output_folder, host.temp_folder, host.user_folder):
        folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(advanced_models.host, "_standalone", host)
    return host


@pytest.fixture
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The edit pipelines scale pictures to 64x64 instead of 1024x1024."""
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus

    scaled = pipeline_qwenimage_edit.calculate_dimensions
    monkeypatch.setattr(pipeline_qwenimage_edit, "calculate_dimensions", lambda area, ratio: scaled(SMALL_AREA, ratio))
    monkeypatch.setattr(pipeline_qwenimage_edit_plus, "VAE_IMAGE_SIZE", SMALL_AREA)
    monkeypatch.setattr(pipeline_qwenimage_edit_plus, "CONDITION_IMAGE_SIZE", SMALL_AREA)
    plus = pipeline_qwenimage_edit_plus.calculate_dimensions
    # The default size of the result comes from a literal.
    monkeypatch.setattr(pipeline_qwenimage_edit_plus, "calculate_dimensions", lambda area, ratio: plus(min(area, SMALL_AREA), ratio))


@contextmanager
def token_types(module: torch.nn.Module) -> Iterator[None]:
    """What the monolithic pipelines forget with transformers 5, written independently of the pack: the kinds of the tokens."""
    forward = module.forward

    @wraps(forward)
    def with_types(*args: Any, **inputs: Any) -> Any:
        if inputs.get("pixel_values") is not None:
            inputs["mm_token_type_ids"] = torch.where(inputs["input_ids"] == module.config.image_token_id, 1, 0)
        return forward(*args, **inputs)

    if has_token_types():
        module.forward = with_types  # type: ignore[method-assign]
    try:
        yield
    finally:
        module.forward = forward  # type: ignore[method-assign]


def has_token_types() -> bool:
    """Whether the installed transformers places image tokens by `mm_token_type_ids` (5 and later)."""
    import transformers

    return int(transformers.__version__.split(".")[0]) >= 5


def processor_of(folder: Path) -> Any:
    """A processor for pictures without torchvision, by hand: image processor and tokenizer, no video processor."""
    from advanced_models.loaders.processors import load_processor
    from transformers import Qwen2_5_VLProcessor

    return load_processor(Qwen2_5_VLProcessor, folder)


def picture(width: int = 64, height: int = 80, phase: float = 0.0) -> torch.Tensor:
    """A picture [1, H, W, 3] with smooth colours and an edge, in steps of 1/255 as pictures from files are."""
    rows, columns = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)[None, :]
    channels = (rows * columns, ((rows + phase) % 1).expand(-1, width), (columns > 0.4).float().expand(height, -1))
    return ((torch.stack(channels, -1)[None] * 255).round() / 255).contiguous()
