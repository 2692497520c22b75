"""Writes GGUF files by the `gguf` package's own writer and quantisers: any tensors, or the trained small FLUX."""

from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import numpy as np
import torch
from advanced_models.demo import trained
from advanced_models.loaders.registry import load_registry
from gguf.quants import dequantize, quantize
from single_file_layouts import Tensors, bfl_flux, stored


def write_gguf(path: Path, tensors: Tensors, architecture: str, kind: gguf.GGMLQuantizationType, context: int = 0) -> Tensors:
    """Write matrices in `kind` where their rows are whole blocks, the rest as the converter does; returns what the file means.

    `context` is how many tokens a language model reads, which its file tells beside its vocabulary.
    """
    writer = gguf.GGUFWriter(path, architecture)
    if context:
        writer.add_context_length(context)
        writer.add_token_list(["a", "b"])
        writer.add_token_scores([0.5, 0.25])
    block = gguf.GGML_QUANT_SIZES[kind][0]
    meant: Tensors = {}
    for name, tensor in tensors.items():
        array = tensor.float().numpy()
        if array.ndim > 4:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", [int(side) for side in array.shape])
            array = array.reshape(array.shape[0], array.shape[1], -1)
        chosen = kind if array.ndim == 2 and array.shape[-1] % block == 0 else gguf.GGMLQuantizationType.F32
        data = quantize(array, chosen)
        meant[name] = torch.from_numpy(np.array(dequantize(data, chosen))).reshape(tensor.shape)
        writer.add_tensor(name, data, raw_dtype=chosen)
    finish(writer)
    return meant


def finish(writer: gguf.GGUFWriter) -> None:
    """Write what a writer was given."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_trained_flux(models: Path, quantisation: str) -> str:
    """The trained small FLUX's transformer in `models`, in the layout that GGUF files of FLUX.1 have; returns its name as a source."""
    source = f"diffusion_models/{quantisation}.gguf"
    (models / source).parent.mkdir(parents=True, exist_ok=True)
    tensors = bfl_flux(stored(trained.MODELS / "diffusers" / trained.FLUX, "transformer"))
    write_gguf(models / source, tensors, "flux", gguf.GGMLQuantizationType[quantisation])
    return source


def copy_trained_config(configs: Path) -> None:
    """Into `configs`, to stand in for the bundled ones: a single file of FLUX.1 comes without, and is taken for one of the real size."""
    folder = configs / load_registry().model(trained.FLUX).components["transformer"]
    folder.mkdir(parents=True)
    shutil.copy(trained.MODELS / "diffusers" / trained.FLUX / "transformer" / "config.json", folder)
