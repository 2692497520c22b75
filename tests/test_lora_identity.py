"""With LoRAs, node by node gives what the whole diffusers pipeline with the same LoRAs gives, and the model without them stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.lora import preset_of
from advanced_models.loaders.store import STORE
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from devices import on_cpu, on_device
from lora_support import loras_folder, make_lora, save, with_loras
from qwen_models import DTYPES, dtype_option, qwen_folder, qwen_host
from wan_support import FRAMES, conditioned, decode, denoise, parts_of, picture, to_pil
from wan_support import NEGATIVE as WAN_NEGATIVE
from wan_support import PROMPT as WAN_PROMPT
from wan_support import SIZE as WAN_SIZE

__all__ = ["qwen_folder", "qwen_host"]

PROMPT = "a red fox jumps over the lazy dog"
SEED, STEPS = 1234, 3
SIZE = {"width": 64, "height": 80}
FLUX_LAYERS = ("attn.to_q", "attn.to_k", "attn.to_v", "to_out.0", "ff.net.2", "proj_mlp", "norm.linear")
WAN_LAYERS = ("attn1.to_q", "attn1.to_k", "attn2.to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")
QWEN_LAYERS = ("attn.to_q", "attn.to_v", "add_k_proj", "to_out.0", "img_mlp.net.2", "txt_mod.1")
STACKS = [((0, 1.0),), ((0, 0.5),), ((0, 1.0), (1, -0.7))]
"""LoRAs by number, with their strengths."""
Stack = tuple[tuple[int, float], ...]


def load(pipeline: Any, folder: Path, loras: list[tuple[str, float]], **options: Any) -> None:
    """LoRAs onto a whole pipeline, as diffusers' documentation does it."""
    names = [f"adapter_{index}" for index in range(len(loras))]
    for adapter, (name, _) in zip(names, loras, strict=True):
        pipeline.load_lora_weights(folder, weight_name=name, adapter_name=adapter, **options)
    if not options:
        pipeline.set_adapters(names, [strength for _, strength in loras])


def two_loras(folder: Path, transformer: Path, layers: tuple[str, ...], name: str = "style") -> list[str]:
    """One in float32 and one in bf16 for fewer layers."""
    return [
        save(folder, f"{name}_0.safetensors", make_lora(transformer, layers, seed=0)),
        save(folder, f"{name}_1.safetensors", make_lora(transformer, layers[:2], seed=1, dtype=torch.bfloat16)),
    ]


def chosen(names: list[str], stack: Stack) -> list[tuple[str, float]]:
    return [(names[index], strength) for index, strength in stack]


def flux(precision: str, loras: list[tuple[str, float]]) -> torch.Tensor:
    """Pictures [B, H, W, 3] through the nodes."""
    loader, encode, sampler, decoder = (NODE_CLASS_MAPPINGS[f"Flux{name}"]() for name in ("Loader", "PromptEncode", "Denoise", "Decode"))
    with torch.inference_mode():
        transformer, clip_l, t5_xxl, vae, _ = loader.select("FLUX.1-dev", precision)
        (conditioning,) = encode.encode(clip_l, t5_xxl, PROMPT)
        (samples,) = sampler.denoise(with_loras(transformer, *loras), conditioning, **SIZE, seed=SEED, steps=STEPS)
        result: torch.Tensor = decoder.decode(vae, samples)[0]
    return result


@pytest.mark.parametrize(("precision", "stack"), [("fp32", STACKS[2]), *(("bf16", stack) for stack in STACKS)])
def test_flux(use_host: StandaloneHost, flux_dev: Path, tmp_path: Path, precision: str, stack: Stack) -> None:
    from diffusers import FluxPipeline

    folder = loras_folder(use_host, tmp_path)
    loras = chosen(two_loras(folder, flux_dev / "transformer", FLUX_LAYERS), stack)
    without = flux(precision, [])
    images = flux(precision, loras)

    pipeline = FluxPipeline.from_pretrained(flux_dev).to(DTYPES[precision])
    pipeline.set_progress_bar_config(disable=True)
    load(pipeline, folder, loras)
    on_device(pipeline)
    call = {"num_inference_steps": STEPS, "guidance_scale": 3.5, "max_sequence_length": 512, **SIZE}
    with torch.inference_mode():
        expected = pipeline(PROMPT, **call, generator=torch.Generator().manual_seed(SEED), output_type="pt").images
    assert torch.equal(images, on_cpu(expected).movedim(1, -1).float())
    assert not torch.equal(images, without)
    # The same process, the same store: what others compute with has not been touched.
    assert torch.equal(flux(precision, []), without)
    assert torch.equal(flux(precision, [(loras[0][0], 0.0)]), without)


def test_lora_sets_are_entries_of_their_own(use_host: StandaloneHost, flux_dev: Path, tmp_path: Path) -> None:
    names = two_loras(loras_folder(use_host, tmp_path), flux_dev / "transformer", FLUX_LAYERS)
    transformer = NODE_CLASS_MAPPINGS["FluxLoader"]().select("FLUX.1-dev")[0]
    with STORE.use(transformer) as (base,):
        weights = {name: on_cpu(tensor).clone() for name, tensor in base.state_dict().items()}
    with STORE.use(with_loras(transformer, (names[0], 1.0))) as (one,), STORE.use(transformer) as (again,):
        assert one is not base
        assert again is base
        assert not hasattr(base, "peft_config")
    before = STORE.loads
    with STORE.use(with_loras(transformer, (names[0], 1.0))) as (same,):
        assert same is one
    for other in (((names[0], 0.5),), ((names[0], 1.0), (names[1], 1.0)), ((names[1], 1.0), (names[0], 1.0))):
        with STORE.use(with_loras(transformer, *other)) as (module,):
            assert module is not one
    assert STORE.loads == before + 3
    assert all(torch.equal(on_cpu(tensor), weights[name]) for name, tensor in base.state_dict().items())
    # A file that was replaced is read again.
    save(tmp_path / "models" / "loras", names[0], make_lora(flux_dev / "transformer", FLUX_LAYERS[:1], seed=2))
    with STORE.use(with_loras(transformer, (names[0], 1.0))) as (module,):
        assert module is not one


def wan(model: str, precision: str, transformer: Any = None, **settings: Any) -> torch.Tensor:
    """Frames [T, H, W, 3] through the nodes, with another handle for the transformer."""
    first = picture() if "I2V" in model else None
    with torch.inference_mode():
        parts = parts_of(model, precision)
        parts["transformer"] = transformer or parts["transformer"]
        call = {"steps": STEPS, **settings}
        return decode(parts["vae"], denoise(parts, conditioned(parts, first), **call))


def whole_wan(
    model: str,
    folder: Path,
    precision: str,
    loras: Path,
    high: list[tuple[str, float]],
    low: list[tuple[str, float]] = (),
    **call: Any,  # type: ignore[assignment]
) -> torch.Tensor:
    """Frames [T, H, W, 3] of the monolithic pipeline."""
    import diffusers
    import transformers
    from wan_support import _allow_missing_ftfy

    _allow_missing_ftfy()
    parts = {"vae": diffusers.AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=torch.float32)}
    image = {"image": to_pil(picture())} if "I2V" in model else {}
    if image and (folder / "image_encoder").is_dir():
        parts["image_encoder"] = transformers.CLIPVisionModel.from_pretrained(folder / "image_encoder", dtype=torch.float32)
    cls = diffusers.WanImageToVideoPipeline if image else diffusers.WanPipeline
    pipeline = cls.from_pretrained(folder, torch_dtype=DTYPES[precision], **parts)
    pipeline.set_progress_bar_config(disable=True)
    if "flow_shift" in call:
        pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, flow_shift=call.pop("flow_shift"))
    if high:
        load(pipeline, loras, high)
    if low:
        load(pipeline, loras, list(low), load_into_transformer_2=True)
        pipeline.transformer_2.set_adapters([f"adapter_{index}" for index in range(len(low))], [strength for _, strength in low])
    if high:
        pipeline.transformer.set_adapters([f"adapter_{index}" for index in range(len(high))], [strength for _, strength in high])
    on_device(pipeline)
    settings = {"num_inference_steps": STEPS, "guidance_scale": 5.0, **WAN_SIZE, "num_frames": FRAMES, **image, **call}
    with torch.inference_mode():
        frames = pipeline(
            prompt=WAN_PROMPT,
            negative_prompt=WAN_NEGATIVE,
            generator=torch.Generator().manual_seed(SEED),
            output_type="pt",
            **settings,
        ).frames[0]
    return on_cpu(frames).movedim(1, -1).float()


@pytest.mark.parametrize("stack", STACKS)
def test_wan(wan_host: StandaloneHost, wan_models_folder: Path, tmp_path: Path, stack: Stack) -> None:
    model = "Wan2.1-T2V-1.3B"
    folder, files = wan_models_folder / "diffusers" / model, loras_folder(wan_host, tmp_path)
    loras = chosen(two_loras(files, folder / "transformer", WAN_LAYERS), stack)
    without = wan(model, "bf16")
    frames = wan(model, "bf16", with_loras(parts_of(model, "bf16")["transformer"], *loras))
    assert torch.equal(frames, whole_wan(model, folder, "bf16", files, loras))
    assert not torch.equal(frames, without)
    assert torch.equal(wan(model, "bf16"), without)


def test_wan_from_an_image_with_a_lora_for_text(wan_host: StandaloneHost, wan_models_folder: Path, tmp_path: Path) -> None:
    """It has nothing for the layers that read the image, and they stay as they are."""
    model = "Wan2.1-I2V-14B-480P"
    folder, files = wan_models_folder / "diffusers" / model, loras_folder(wan_host, tmp_path)
    loras = [(save(files, "text.safetensors", make_lora(folder / "transformer", (*WAN_LAYERS, "attn2.to_k"))), 0.8)]
    frames = wan(model, "bf16", with_loras(parts_of(model, "bf16")["transformer"], *loras))
    assert torch.equal(frames, whole_wan(model, folder, "bf16", files, loras))


@pytest.mark.parametrize("stack", [STACKS[0], STACKS[2]])
def test_both_experts(wan_host: StandaloneHost, wan_models_folder: Path, tmp_path: Path, stack: Stack) -> None:
    model = "Wan2.2-T2V-A14B"
    folder, files = wan_models_folder / "diffusers" / model, loras_folder(wan_host, tmp_path)
    high = chosen(two_loras(files, folder / "transformer", WAN_LAYERS, "high"), stack)
    low = [(save(files, "low.safetensors", make_lora(folder / "transformer_2", WAN_LAYERS, seed=5)), 0.6)]
    handle = with_loras(parts_of(model, "bf16")["transformer"], *high)
    # Another strength on the low-noise expert: a node of its own.
    (both,) = NODE_CLASS_MAPPINGS["LoRALoader"]().add(handle, "none", low[0][1], low_noise_lora=low[0][0])
    settings = {"steps": 4, "guidance": 5.0, "guidance_2": 3.0}
    call = {"num_inference_steps": 4, "guidance_scale": 5.0, "guidance_scale_2": 3.0}
    expected = whole_wan(model, folder, "bf16", files, high, low, **call)
    assert torch.equal(wan(model, "bf16", both, **settings), expected)
    only_high = whole_wan(model, folder, "bf16", files, high, **call)
    assert torch.equal(wan(model, "bf16", handle, **settings), only_high)
    assert not torch.equal(only_high, expected)
    (at_once,) = NODE_CLASS_MAPPINGS["LoRALoader"]().add(parts_of(model)["transformer"], *high[0], low_noise_lora=low[0][0])
    assert [[lora.file for lora in expert.loras] for expert in at_once.components] == [[high[0][0]], [low[0][0]]]


def qwen(transformer: Any, **settings: Any) -> torch.Tensor:
    """Pictures [B, H, W, 3] of Qwen-Image in bf16 through the nodes."""
    loader, encode, sampler, decoder = (
        NODE_CLASS_MAPPINGS[f"QwenImage{name}"]() for name in ("Loader", "PromptEncode", "Denoise", "Decode")
    )
    with torch.inference_mode():
        _, qwen_vl, vae, scheduler = loader.select("Qwen-Image", "bf16")
        positive, negative = encode.encode(qwen_vl, PROMPT, " ")
        (samples,) = sampler.denoise(transformer, positive, **SIZE, negative=negative, seed=SEED, scheduler=scheduler, **settings)
        result: torch.Tensor = decoder.decode(vae, samples)[0]
    return result


def whole_qwen(
    folder: Path, loras: Path, files: list[tuple[str, float]], schedule: dict[str, Any] | None = None, **call: Any
) -> torch.Tensor:
    """Pictures [B, H, W, 3] of the monolithic pipeline."""
    from diffusers import FlowMatchEulerDiscreteScheduler, QwenImagePipeline

    parts = {} if schedule is None else {"scheduler": FlowMatchEulerDiscreteScheduler.from_config(schedule)}
    pipeline = QwenImagePipeline.from_pretrained(folder, **parts, **dtype_option("bf16"))
    pipeline.set_progress_bar_config(disable=True)
    load(pipeline, loras, files)
    on_device(pipeline)
    settings = {"num_inference_steps": STEPS, "true_cfg_scale": 4.0, **SIZE, **call}
    with torch.inference_mode():
        images = pipeline(
            prompt=PROMPT, negative_prompt=" ", **settings, generator=torch.Generator().manual_seed(SEED), output_type="pt"
        ).images
    return on_cpu(images).movedim(1, -1).float()


def qwen_transformer() -> Any:
    return NODE_CLASS_MAPPINGS["QwenImageLoader"]().select("Qwen-Image", "bf16")[0]


@pytest.mark.parametrize("stack", STACKS)
def test_qwen_image(qwen_host: StandaloneHost, qwen_folder: Path, tmp_path: Path, stack: Stack) -> None:
    folder, files = qwen_folder / "diffusers" / "Qwen-Image", loras_folder(qwen_host, tmp_path)
    loras = chosen(two_loras(files, folder / "transformer", QWEN_LAYERS), stack)
    without = qwen(qwen_transformer(), steps=STEPS)
    images = qwen(with_loras(qwen_transformer(), *loras), steps=STEPS)
    assert torch.equal(images, whole_qwen(folder, files, loras))
    assert not torch.equal(images, without)
    assert torch.equal(qwen(qwen_transformer(), steps=STEPS), without)


def test_lightning_brings_its_steps_guidance_and_schedule(qwen_host: StandaloneHost, qwen_folder: Path, tmp_path: Path) -> None:
    import math

    folder, files = qwen_folder / "diffusers" / "Qwen-Image", loras_folder(qwen_host, tmp_path)
    # In a folder of the user's own, under the name that it has on the hub.
    name = save(files, "qwen/Qwen-Image-Lightning-4steps-V1.0.safetensors", make_lora(folder / "transformer", QWEN_LAYERS))
    # The scheduler_config of the model card of lightx2v/Qwen-Image-Lightning.
    schedule = {
        "base_image_seq_len": 256,
        "base_shift": math.log(3),
        "invert_sigmas": False,
        "max_image_seq_len": 8192,
        "max_shift": math.log(3),
        "num_train_timesteps": 1000,
        "shift": 1.0,
        "shift_terminal": None,
        "stochastic_sampling": False,
        "time_shift_type": "exponential",
        "use_beta_sigmas": False,
        "use_dynamic_shifting": True,
        "use_exponential_sigmas": False,
        "use_karras_sigmas": False,
    }
    lightning = with_loras(qwen_transformer(), ("Lightning 4 steps", 1.0))
    expected = whole_qwen(folder, files, [(name, 1.0)], schedule, num_inference_steps=4, true_cfg_scale=1.0)
    assert torch.equal(qwen(lightning), expected)
    # What the user sets counts before what the LoRA brings; the file by itself brings nothing.
    more = whole_qwen(folder, files, [(name, 1.0)], schedule, num_inference_steps=2, true_cfg_scale=3.0)
    assert torch.equal(qwen(lightning, steps=2, true_cfg=3.0), more)
    plain = with_loras(qwen_transformer(), (name, 1.0))
    assert torch.equal(qwen(plain, steps=STEPS), whole_qwen(folder, files, [(name, 1.0)]))


# Steps and shift of the LightX2V code (configs/distill), and of ComfyUI's templates with CausVid.
DISTILLED = [
    ("Wan2.2-T2V-A14B", "lightx2v 4 steps", 4, 5.0),
    ("Wan2.1-I2V-14B-480P", "lightx2v 4 steps", 4, 5.0),
    ("Wan2.1-T2V-1.3B", "CausVid", 8, 8.0),
]


@pytest.mark.parametrize(("model", "name", "steps", "shift"), DISTILLED)
def test_distilled_loras_bring_their_files_steps_guidance_and_shift(
    wan_host: StandaloneHost, wan_models_folder: Path, tmp_path: Path, model: str, name: str, steps: int, shift: float
) -> None:
    folder, files = wan_models_folder / "diffusers" / model, loras_folder(wan_host, tmp_path)
    # Under the names that they have on the hub.
    stored = {role: Path(file).name for role, file in preset_of(model, name).files.items()}
    for seed, (role, file) in enumerate(stored.items()):
        save(files, file, make_lora(folder / role, WAN_LAYERS, seed=seed))
    handle = with_loras(parts_of(model, "bf16")["transformer"], (name, 1.0))
    call: dict[str, Any] = {"num_inference_steps": steps, "guidance_scale": 1.0, "flow_shift": shift}
    low = [(stored["transformer_2"], 1.0)] if "transformer_2" in stored else []
    call |= {"guidance_scale_2": 1.0} if low else {}
    expected = whole_wan(model, folder, "bf16", files, [(stored["transformer"], 1.0)], low, **call)
    assert torch.equal(wan(model, "bf16", handle, steps=0, guidance=-1.0), expected)
