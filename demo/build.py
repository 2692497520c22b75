"""Small models with random weights in the folder layout of the real ones: which there are, how one is put on disk."""

from __future__ import annotations

import difflib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ..errors import UserError
from ..host.environment import explain_import_error
from .tiny_flux import build_flux
from .tiny_qwen import QWEN_IMAGE_LAYOUTS, build_qwen3_vl, build_qwen_image, build_qwen_vl
from .tiny_wan import WAN_LAYOUTS, build_wan
from .weights import DTYPES

Builder = Callable[[Path, str], None]
"""Writes one model into an empty folder, in the dtype of the given word."""

BUILDER_VERSION = 1
"""Counted up when what is built changes, so that models built earlier are not taken for current ones."""

MARKER = ".small-model"
"""Says that a folder was written here and may be replaced; holds `BUILDER_VERSION`, the model id and the dtype."""

BUILDERS: dict[str, Builder] = {
    "FLUX.1-dev": partial(build_flux, distilled_guidance=True),
    "FLUX.1-schnell": partial(build_flux, distilled_guidance=False),
    **{model: partial(build_wan, layout=layout) for model, layout in WAN_LAYOUTS.items()},
    **{model: partial(build_qwen_image, layout=layout) for model, layout in QWEN_IMAGE_LAYOUTS.items()},
    "Qwen2.5-VL-7B-Instruct": build_qwen_vl,
    "Qwen3-VL-4B-Instruct": build_qwen3_vl,
}
"""By the id of the model whose layout is built."""

ARCHITECTURES = {
    "flux": "FLUX.1-dev",
    "wan": "Wan2.1-T2V-1.3B",
    "qwen_image": "Qwen-Image",
    "qwen_vl": "Qwen2.5-VL-7B-Instruct",
}
"""The model that stands for an architecture."""


def model_id(name: str) -> str:
    """The id of the model that `name` (an id or an architecture, in any case) means; `UserError` when there is none."""
    ids = {known.lower(): known for known in BUILDERS} | ARCHITECTURES
    if name.lower() in ids:
        return ids[name.lower()]
    close = difflib.get_close_matches(name.lower(), ids, n=1)
    guess = f" Did you mean {ids[close[0]]}?" if close else ""
    known = ", ".join([*ARCHITECTURES, *BUILDERS])
    raise UserError(f"There is no small model for '{name}'.{guess} What can be built: {known}.")


def build(architecture: str, folder: Path, dtype: str = "bf16") -> Path:
    """Build a small model with random weights and return `folder`.

    `architecture` is a model id or an architecture (see `model_id`), `dtype` one of bf16, fp16, fp32. The same
    arguments give the same weights. A folder that was built here is replaced; any other folder with content is refused
    with a `UserError`. The model appears in one step: an interrupted build leaves what was there before.
    """
    model = model_id(architecture)
    if dtype not in DTYPES:
        raise UserError(f"'{dtype}' is not a precision to store weights in. Choose one of {', '.join(DTYPES)}.")
    _refuse_foreign(folder)
    _require_libraries()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            finished = Path(temporary) / "model"
            finished.mkdir()
            with _no_progress_bars():
                BUILDERS[model](finished, dtype)
            (finished / MARKER).write_text(f"{BUILDER_VERSION} {model} {dtype}\n", encoding="utf-8")
            if folder.exists():
                shutil.rmtree(folder)
            finished.rename(folder)
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"The small model could not be written to '{folder.name}' ({reason}). Name another folder, or make room."
        raise UserError(message) from error
    return folder


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """transformers shows one for each file that it saves, and a small model has a dozen that take no time."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _require_libraries() -> None:
    """Import what every builder needs. Raises `UserError` with the remedy where that fails."""
    try:
        from diffusers import AutoencoderKL  # noqa: F401
        from transformers import AutoTokenizer, CLIPTextModel  # noqa: F401
    except (ImportError, RuntimeError) as error:
        raise UserError(explain_import_error(error)) from error


def _refuse_foreign(folder: Path) -> None:
    """Raise `UserError` when writing a model to `folder` would destroy something that was not built here."""
    if folder.is_file():
        raise UserError(f"'{folder.name}' is a file. Name a new folder for the small model.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise UserError(
            f"The folder '{folder.name}' holds files that are not a small model, and they would be lost. Name a new or empty folder."
        )
