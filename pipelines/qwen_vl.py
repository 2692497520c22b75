"""Qwen-VL: pictures, video and text in, text out, while it is written and until somebody stops it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import host
from ..errors import UserError
from ..loaders.sources import read_config
from ..loaders.store import STORE
from ..memory.out_of_memory import within_memory
from .qwen_positions import image_positions
from .qwen_vl_head import require_head, require_pictures
from .qwen_vl_pictures import FRAME_TOKENS, TOKEN_SIDE, Clip, most_pixels, to_picture

if TYPE_CHECKING:
    import torch

    from ..loaders.component import Component

_SECONDS_BETWEEN_TEXTS = 0.1


@dataclass(frozen=True)
class Writing:
    """How the model chooses its words. The values are those of Qwen's own generation settings for Qwen3-VL and Qwen2.5."""

    seed: int = 0
    most_tokens: int = 512
    temperature: float = 0.7
    """0 takes the likeliest token each time; the seed has no say then."""
    top_p: float = 0.8
    top_k: int = 20
    repetition_penalty: float = 1.05


@dataclass(frozen=True)
class Seeing:
    """How large pictures are read, in pixels; None leaves it to the memory that is free."""

    most_pixels: int | None = None
    fewest_pixels: int = 4 * TOKEN_SIDE**2


@within_memory("encode")
def chat(
    model: Component,
    tokenizer: Component,
    processor: Component | None,
    prompt: str,
    *,
    system: str = "",
    pictures: Sequence[torch.Tensor] = (),
    clip: Clip | None = None,
    writing: Writing | None = None,
    seeing: Seeing | None = None,
) -> str:
    """One answer about pictures [H, W, C] (values 0..1, in order), a video, both, or neither.

    The text is shown on the running node while it is written; a request to stop takes effect within one token. Raises UserError
    before anything is loaded for another kind of model, for one that cannot write, and for pictures without a processor.
    """

    writing, seeing = writing or Writing(), seeing or Seeing()
    check_model(model)
    if (pictures or clip is not None) and processor is None:
        raise UserError("Pictures need the PROCESSOR as well: connect QwenVLLoader's.")
    if pictures or clip is not None:
        require_pictures(model)
    reads = STORE.companion(tokenizer if processor is None else processor)
    if clip is not None and getattr(reads, "video_processor", None) is None:
        raise UserError(
            "Video needs torchvision, built for the installed torch: install it (https://pytorch.org/get-started/locally/), or choose "
            "'one conversation' to ask about single frames as pictures."
        )
    words = STORE.companion(tokenizer)
    with STORE.use(model) as (module,), image_positions(module), _interruptible(module):
        device = STORE.device_of(model)
        inputs = _inputs(reads, model, _messages(prompt, system, len(pictures), clip), pictures, clip, seeing, device)
        with _seeded(writing.seed, device):
            written = module.generate(
                **inputs,
                **_choices(writing),
                max_new_tokens=writing.most_tokens,
                stopping_criteria=[_Watch(words, inputs["input_ids"].shape[1], writing.most_tokens)],
            )
    tokens: torch.Tensor = written[0, inputs["input_ids"].shape[1] :]
    return str(words.decode(tokens, skip_special_tokens=True)).strip()


def check_model(model: Component) -> None:
    """Refuse what does not chat: another socket's model, and an encoder without its language head."""
    if model.entry.socket != "QWEN_VL":
        raise UserError(f"The {model.label} is a {model.entry.socket}, where a QWEN_VL belongs.")
    require_head(model)


def factor_of(processor: Any) -> int:
    """Pixels of an image token's side, which sizes are multiples of."""
    image_processor = processor.image_processor
    return int(image_processor.patch_size) * int(image_processor.merge_size)


def _messages(prompt: str, system: str, pictures: int, clip: Clip | None) -> list[dict[str, Any]]:
    shown: list[dict[str, str]] = [{"type": "image"}] * pictures + [{"type": "video"}] * (clip is not None)
    messages = [{"role": "user", "content": [*shown, {"type": "text", "text": prompt}]}]
    return [{"role": "system", "content": [{"type": "text", "text": system}]}, *messages] if system else messages


def _inputs(
    reads: Any,
    model: Component,
    messages: list[dict[str, Any]],
    pictures: Sequence[torch.Tensor],
    clip: Clip | None,
    seeing: Seeing,
    device: torch.device,
) -> Any:
    """What the model is called with, on its device."""
    try:
        text = reads.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except ValueError as error:
        raise UserError(
            f"The tokenizer or processor has no chat template ({error}): connect the TOKENIZER and PROCESSOR of QwenVLLoader."
        ) from error
    if not pictures and clip is None:
        return reads(text=[text], return_tensors="pt").to(device)
    limit = seeing.most_pixels
    if limit is None:
        limit = most_pixels(read_config(model), _free_bytes(device), len(pictures))
    given: dict[str, Any] = {}
    if pictures:
        factor = factor_of(reads)
        given["images"] = [to_picture(picture, limit, min(seeing.fewest_pixels, limit), factor) for picture in pictures]
    if clip is not None:
        count = clip.frames.shape[0]
        metadata = {"fps": clip.rate, "total_num_frames": count, "frames_indices": list(range(count)), "duration": count / clip.rate}
        given |= {"videos": [clip.frames], "do_sample_frames": False, "fps": clip.rate, "video_metadata": [metadata]}
    return reads(text=[text], **given, return_tensors="pt").to(device)


def frame_pixels(seeing: Seeing) -> int:
    """Pixels of a video's frame at most."""
    return min(seeing.most_pixels or FRAME_TOKENS * TOKEN_SIDE**2, FRAME_TOKENS * TOKEN_SIDE**2)


def _choices(writing: Writing) -> dict[str, Any]:
    if writing.temperature == 0:
        # The model's own settings would stay in force and be warned of.
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "repetition_penalty": writing.repetition_penalty}
    return {
        "do_sample": True,
        "temperature": writing.temperature,
        "top_p": writing.top_p,
        "top_k": writing.top_k,
        "repetition_penalty": writing.repetition_penalty,
    }


class _Watch:
    """Called by `generate` after every token: shows the text, moves the bar, and stops where the user asked to."""

    def __init__(self, words: Any, start: int, most_tokens: int) -> None:
        self._words, self._start = words, start
        self._bar = host.current().progress(most_tokens)
        self._shown = 0.0

    def __call__(self, input_ids: torch.Tensor, _scores: object, **_: object) -> torch.Tensor:
        import torch

        host.current().raise_if_interrupted()
        self._bar.update(input_ids.shape[1] - self._start)
        if time.monotonic() - self._shown >= _SECONDS_BETWEEN_TEXTS:
            host.current().show_text(self._words.decode(input_ids[0, self._start :], skip_special_tokens=True))
            self._shown = time.monotonic()
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


@contextmanager
def _interruptible(module: torch.nn.Module) -> Iterator[None]:
    """Within the block, a request to stop takes effect before the next layer runs: reading large pictures takes its time."""
    from torch.nn import ModuleList

    def check(*_: object) -> None:
        host.current().raise_if_interrupted()

    lists = [child for name, child in module.named_modules() if isinstance(child, ModuleList) and name.endswith(("layers", "blocks"))]
    hooks = [layer.register_forward_pre_hook(check) for layers in lists for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """`generate` draws from torch's global generators: seed them, and leave them as they were."""
    import torch

    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _free_bytes(device: torch.device) -> int:
    import psutil
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
