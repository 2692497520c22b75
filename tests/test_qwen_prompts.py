"""What the text encoder of Qwen-Image is given, word for word, and where it thinks the tokens of a picture stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.loaders.component import Component, select_component
from advanced_models.loaders.store import STORE
from advanced_models.nodes.qwen_image import QwenImageLoader, QwenImagePromptEncode
from advanced_models.nodes.qwen_image_denoise import QwenImageDenoise
from advanced_models.nodes.qwen_vl import QwenVLLoader
from advanced_models.pipelines.qwen_positions import image_positions
from devices import on_cpu, on_device
from PIL import Image
from qwen_models import CHAT_MODEL, has_token_types, picture, processor_of, qwen_folder, qwen_host, small_pictures

__all__ = ["qwen_folder", "qwen_host", "small_pictures"]

# From the Qwen-Image repository (src/examples, and the technical report's appendix on prompt templates).
PAINT = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial relationships of the "
    "objects and background:<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
EDIT = (
    "<|im_start|>system\nDescribe the key features of the input image (color, shape, size, texture, objects, background), then explain "
    "how the user's text instruction should alter or modify the image. Generate a new image that meets the user's requirements while "
    "maintaining consistency with the original input where appropriate.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n"
    "<|im_start|>assistant\n"
)
ONE_PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
PAINT_WORDS, EDIT_WORDS = 34, 64  # tokens of the templates before the prompt, with the real tokenizer

PROMPTS = [
    "a red fox",
    "\u4e00\u53ea\u7ea2\u8272\u7684\u72d0\u72f8\u5728\u96ea\u5730\u91cc",
    'a shop sign that says "\u4f60\u597d, world" in neon',
    "\u62db\u724c\u4e0a\u5199\u7740\u201cHello \u4e16\u754c\u201d\uff0c\u65c1\u8fb9\u662f\u2018Open\u2019",
    "party \U0001f389\U0001f98a fox with {braces} and %s and 100%",
    "caf\u00e9 na\u00efve \u2014 \u20ac5 \u00bd",
    "two\nlines\tand a tab",
    "",
    " ",
]


@pytest.fixture
def edit(qwen_host: object) -> dict[str, Component]:
    return dict(zip(QwenImageLoader.RETURN_NAMES, QwenImageLoader().select("Qwen-Image-Edit", "fp32"), strict=True))


@pytest.fixture
def paint(qwen_host: object) -> dict[str, Component]:
    return dict(zip(QwenImageLoader.RETURN_NAMES, QwenImageLoader().select("Qwen-Image", "fp32"), strict=True))


def encoder_by_hand(folder: Path) -> Any:
    from transformers import Qwen2_5_VLForConditionalGeneration

    return on_device(Qwen2_5_VLForConditionalGeneration.from_pretrained(folder / "text_encoder", dtype=torch.float32))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_prompts_are_read_in_the_words_of_the_template(paint: dict[str, Component], qwen_folder: Path, prompt: str) -> None:
    from transformers import AutoTokenizer

    folder = qwen_folder / "diffusers" / "Qwen-Image"
    tokens = AutoTokenizer.from_pretrained(folder / "tokenizer")(PAINT.replace("{}", prompt), return_tensors="pt")
    with torch.inference_mode():
        states = encoder_by_hand(folder)(**on_device(tokens), output_hidden_states=True).hidden_states[-1]
        [[embeds, extras]], _ = QwenImagePromptEncode().encode(paint["qwen_vl"], prompt)
    assert torch.equal(on_cpu(embeds), on_cpu(states)[:, PAINT_WORDS:])
    assert "attention_mask" not in extras


@pytest.mark.parametrize("prompt", PROMPTS[1:6])
@pytest.mark.parametrize("model", ["Qwen-Image-Edit", "Qwen-Image-Edit-2509"])
def test_edit_prompts_too_with_the_picture_in_its_place(
    qwen_host: object, qwen_folder: Path, small_pictures: None, model: str, prompt: str
) -> None:
    _, encoder, vae, _ = QwenImageLoader().select(model, "fp32")
    folder = qwen_folder / "diffusers" / model
    shown = ONE_PICTURE if model == "Qwen-Image-Edit" else f"Picture 1: {ONE_PICTURE}"
    image = Image.fromarray((picture(64, 64)[0] * 255).round().byte().numpy())
    inputs = processor_of(folder / "processor")(text=[EDIT.replace("{}", shown + prompt)], images=[image], return_tensors="pt")
    with torch.inference_mode():
        # The processor of transformers 5 names the tokens of the picture, so this is the model's documented call.
        states = encoder_by_hand(folder)(**on_device(inputs), output_hidden_states=True).hidden_states[-1]
        [[embeds, extras]], _ = QwenImagePromptEncode().encode(encoder, prompt, vae=vae, image_1=picture(64, 64))
    assert torch.equal(on_cpu(embeds), on_cpu(states)[:, EDIT_WORDS:])
    assert [tuple(latents.shape) for latents in extras["reference_latents"]] == [(1, 16, 1, 8, 8)]


@pytest.mark.skipif(not has_token_types(), reason="this transformers finds the positions by itself")
def test_without_our_hook_the_tokens_of_a_picture_stand_in_one_line(qwen_host: object, qwen_folder: Path) -> None:
    """If diffusers passes the token types one day, this fails, and the hook can go."""
    from diffusers import QwenImageEditPipeline

    folder = qwen_folder / "diffusers" / "Qwen-Image-Edit"
    parts = {"transformer": None, "vae": None, "scheduler": None, "text_encoder": encoder_by_hand(folder)}
    pipeline = QwenImageEditPipeline.from_pretrained(folder, processor=processor_of(folder / "processor"), **parts)
    image = Image.fromarray((picture(112, 112)[0] * 255).round().byte().numpy())
    seen: list[Any] = []
    with torch.inference_mode():
        hook = pipeline.text_encoder.model.language_model.register_forward_pre_hook(
            lambda _, __, inputs: seen.append(inputs["position_ids"]), with_kwargs=True
        )
        plain, _ = pipeline.encode_prompt("make the sky blue", image=image, device=pipeline.text_encoder.device)
        with image_positions(pipeline.text_encoder):
            right, _ = pipeline.encode_prompt("make the sky blue", image=image, device=pipeline.text_encoder.device)
        hook.remove()
        again, _ = pipeline.encode_prompt("make the sky blue", image=image, device=pipeline.text_encoder.device)
    assert not torch.equal(plain, right)
    assert torch.equal(plain, again)
    rows = seen[1][-2, 0].unique().numel(), seen[1][-1, 0].unique().numel()
    tokens = right.shape[1] + EDIT_WORDS
    assert all(count < tokens for count in rows)  # a row of image tokens shares its place


def test_one_line_a_prompt(paint: dict[str, Component]) -> None:
    with torch.inference_mode():
        positive, negative = QwenImagePromptEncode().encode(
            paint["qwen_vl"], "a red fox\n\n a very long prompt about a small cat ", one_prompt_per_line=True
        )
        [[single, _]], _ = QwenImagePromptEncode().encode(paint["qwen_vl"], "a red fox")
    [[embeds, extras]] = positive
    mask = extras["attention_mask"]
    assert mask.sum(1).tolist() == [single.shape[1], embeds.shape[1]]
    torch.testing.assert_close(embeds[:1, : single.shape[1]], single)
    assert negative[0][0].shape[0] == 2


def refusal_of(call: Any) -> str:
    loads = STORE.loads
    with pytest.raises(UserError) as refused, torch.inference_mode():
        call()
    assert STORE.loads == loads
    return str(refused.value)


def test_pictures_and_templates_that_do_not_fit(paint: dict[str, Component], edit: dict[str, Component]) -> None:
    encode = QwenImagePromptEncode().encode
    chat_model, _, _ = QwenVLLoader().select(CHAT_MODEL)
    one = {"vae": edit["vae"], "image_1": picture()}
    assert "was given 1 pictures and takes none" in refusal_of(lambda: encode(paint["qwen_vl"], "a fox", **one))
    assert "is for working on a picture" in refusal_of(lambda: encode(edit["qwen_vl"], "a fox"))
    assert "given 2 pictures and takes 1" in refusal_of(lambda: encode(edit["qwen_vl"], "a fox", **one, image_2=picture()))
    assert "set template to 'edit' for Qwen-Image-Edit" in refusal_of(lambda: encode(chat_model, "a fox", **one))
    assert "connect QwenImageLoader's vae" in refusal_of(lambda: encode(edit["qwen_vl"], "a fox", image_1=picture()))
    assert "There is no template 'paint'" in refusal_of(lambda: encode(chat_model, "a fox", template="paint"))
    assert "got a batch of 2" in refusal_of(
        lambda: encode(edit["qwen_vl"], "a fox", vae=edit["vae"], image_1=torch.cat([picture(), picture()]))
    )
    two_lines = {"prompt": "a\nb", "one_prompt_per_line": True}
    assert "takes one prompt at a time" in refusal_of(lambda: encode(edit["qwen_vl"], **two_lines, **one))
    assert "every line is empty" in refusal_of(lambda: encode(paint["qwen_vl"], " \n", one_prompt_per_line=True))


def test_other_encoders_are_refused(qwen_host: object) -> None:
    encode = QwenImagePromptEncode().encode
    t5 = select_component("FLUX.1-dev", "text_encoder_2")
    assert "is a T5_XXL, where Qwen-Image needs a QWEN_VL" in refusal_of(lambda: encode(t5, "a fox"))
    for model in ("Qwen2.5-VL-3B-Instruct", "Qwen3-VL-8B-Instruct"):
        other, _, _ = QwenVLLoader().select(model)
        assert "was trained with Qwen2.5-VL-7B" in refusal_of(lambda other=other: encode(other, "a fox"))


def test_denoising_refuses_what_was_encoded_for_another_model(
    paint: dict[str, Component], edit: dict[str, Component], small_pictures: None
) -> None:
    run = QwenImageDenoise().denoise
    with torch.inference_mode():
        for_painting, avoided = QwenImagePromptEncode().encode(paint["qwen_vl"], "a fox")
        for_editing, _ = QwenImagePromptEncode().encode(edit["qwen_vl"], "a fox", vae=edit["vae"], image_1=picture())
    painter, editor = paint["transformer"], edit["transformer"]
    assert "encoded with the template 'text to image'" in refusal_of(lambda: run(editor, for_painting, negative=avoided))
    assert "encoded with the template 'edit'" in refusal_of(lambda: run(painter, for_editing, negative=avoided))
    native = [[for_painting[0][0], {}]]
    assert "works on a picture: connect image_1" in refusal_of(lambda: run(editor, native, true_cfg=1.0))
    references = [[for_painting[0][0], {"reference_latents": for_editing[0][1]["reference_latents"]}]]
    assert "carries 1 reference pictures" in refusal_of(lambda: run(painter, references, true_cfg=1.0))
    assert "none is connected" in refusal_of(lambda: run(painter, for_painting))
    narrow = [[torch.zeros(1, 8, 4096), {}]]
    assert "was not made for Qwen-Image" in refusal_of(lambda: run(painter, narrow, true_cfg=1.0))
    latent = {"samples": torch.zeros(1, 16, 8, 8)}
    assert "takes its pictures with the prompt" in refusal_of(lambda: run(editor, for_editing, latent=latent, true_cfg=1.0))
    assert "got 2 (combined conditioning)" in refusal_of(lambda: run(painter, for_painting * 2, true_cfg=1.0))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"width": 1000, "height": 1024}, "The width 1000 is not a multiple of 16, which Qwen-Image needs: use 992 or 1008."),
        ({"width": 1024, "height": 0}, "Give both width and height, or set both to 0 for the model's own size."),
        ({"denoise": 0.5}, "denoise 0.5 needs a picture to start from: connect QwenImageEncode's LATENT, or set denoise to 1."),
        (
            {"denoise": 1.0, "mask": None},
            "A mask needs the picture it belongs to: connect QwenImageEncode's LATENT as well, or remove the mask.",
        ),
        ({"denoise": 0.5, "latent": None, "width": 5, "height": 5}, True),
    ],
)
def test_settings_are_refused_before_the_run(settings: dict[str, Any], sentence: str | bool) -> None:
    assert QwenImageDenoise.VALIDATE_INPUTS(**settings) == sentence
