"""QwenVLChat writes what the model writes when it is called by hand, and keeps the promises of its tooltips."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.errors import Interrupted, UserError
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.store import STORE, Store
from advanced_models.nodes.qwen_image import QwenImageLoader, QwenImagePromptEncode
from advanced_models.nodes.qwen_vl import EACH, FRAMES, TOGETHER, QwenVLChat, QwenVLLoader
from advanced_models.pipelines import qwen_image_prompt, qwen_vl
from advanced_models.pipelines.qwen_vl_pictures import fit, most_pixels, sample
from advanced_models.pipelines.qwen_vl_presets import LANGUAGES, PRESETS, instruction
from devices import on_device
from PIL import Image
from qwen_models import CHAT_MODEL, has_token_types, picture, processor_of, qwen_folder, qwen_host

__all__ = ["qwen_folder", "qwen_host"]

GREEDY = {"temperature": 0.0, "max_new_tokens": 24}
QUESTION = "\u8fd9\u662f\u4ec0\u4e48? What is \u201cthis\u201d \U0001f98a"


@pytest.fixture
def parts(qwen_host: object) -> dict[str, Any]:
    return dict(zip(QwenVLLoader.RETURN_NAMES, QwenVLLoader().select(CHAT_MODEL, "fp32"), strict=True))


def ask(parts: dict[str, Any], **settings: Any) -> list[str]:
    with torch.inference_mode():
        return QwenVLChat().chat(**parts, **{"preset": "own question", "prompt": QUESTION} | GREEDY | settings)["result"][0]


def by_hand(folder: Path, pictures: list[torch.Tensor], question: str = QUESTION, system: str = "", **settings: Any) -> str:
    """The documented way, with transformers alone."""
    from transformers import Qwen2_5_VLForConditionalGeneration

    model = on_device(Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32))
    processor = processor_of(folder)
    content = [{"type": "image"} for _ in pictures] + [{"type": "text", "text": question}]
    messages = [{"role": "user", "content": content}]
    if system:
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    images = [Image.fromarray((image[0] * 255).round().byte().numpy()) for image in pictures] or None
    inputs = processor(text=[text], images=images, return_tensors="pt")
    settings = {"do_sample": False, "temperature": None, "max_new_tokens": 24} | settings
    with torch.inference_mode():
        written = model.generate(**on_device(inputs), **settings)
    return processor.tokenizer.decode(written[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


@pytest.fixture
def chat_folder(qwen_folder: Path) -> Path:
    return qwen_folder / "diffusers" / CHAT_MODEL


def test_greedy_answer_about_a_picture(parts: dict[str, Any], chat_folder: Path) -> None:
    [answer] = ask(parts, images=picture())
    assert answer == by_hand(chat_folder, [picture()])
    assert len(answer) > 10


def test_text_alone_needs_no_processor(parts: dict[str, Any], chat_folder: Path) -> None:
    [answer] = ask(parts | {"processor": None}, system_prompt="Be brief.")
    assert answer == by_hand(chat_folder, [], system="Be brief.")


def test_several_pictures_in_one_conversation(parts: dict[str, Any], chat_folder: Path) -> None:
    pictures = [picture(), picture(phase=0.3), picture(120, 60)]
    [answer] = ask(parts, images=torch.cat(pictures[:2]), image_2=pictures[2], images_are=TOGETHER)
    assert answer == by_hand(chat_folder, pictures)


def test_a_batch_gives_a_list_in_its_order(parts: dict[str, Any], chat_folder: Path) -> None:
    pictures = [picture(), picture(phase=0.3), picture(phase=0.6)]
    answers = ask(parts, images=torch.cat(pictures), images_are=EACH)
    assert answers == [by_hand(chat_folder, [one]) for one in pictures]
    assert len(set(answers)) == 3
    assert QwenVLChat.OUTPUT_IS_LIST == (True,)


def test_sampled_answers_follow_the_seed_and_leave_torch_alone(parts: dict[str, Any], chat_folder: Path) -> None:
    settings = {"images": picture(), "temperature": 1.5, "top_p": 0.95, "top_k": 50}
    state = torch.random.get_rng_state()
    first, again, other = (ask(parts, **settings, seed=seed)[0] for seed in (7, 7, 8))
    assert first == again != other
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(7)
    assert first == by_hand(chat_folder, [picture()], do_sample=True, temperature=1.5, top_p=0.95, top_k=50)


def test_the_text_appears_while_it_is_written(parts: dict[str, Any], qwen_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(StandaloneHost, "show_text", lambda _, text: shown.append(text))
    monkeypatch.setattr(qwen_vl, "_SECONDS_BETWEEN_TEXTS", 0.0)
    [answer] = ask(parts, images=picture())
    assert len(shown) == GREEDY["max_new_tokens"]
    assert all(longer.startswith(shorter.rstrip("\ufffd")) for shorter, longer in pairwise(shown))
    assert shown[-1].strip() == answer


@pytest.mark.parametrize("after", [0, 5])
def test_a_stop_takes_effect_within_one_token(
    parts: dict[str, Any], qwen_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """The request comes after so many tokens; not one more is written, and the next answer is as ever."""
    before = ask(parts, images=picture())
    written: list[str] = []

    def show(host: StandaloneHost, text: str) -> None:
        written.append(text)
        if len(written) == after:
            host.interrupt()

    with monkeypatch.context() as patch:
        patch.setattr(StandaloneHost, "show_text", show)
        patch.setattr(qwen_vl, "_SECONDS_BETWEEN_TEXTS", 0.0)
        if after == 0:
            qwen_host.interrupt()
        with pytest.raises(Interrupted):
            ask(parts, images=picture())
    assert len(written) == after
    assert ask(parts, images=picture()) == before
    assert all(entry.users == 0 for entry in STORE.entries())


def test_one_model_chats_and_encodes_prompts(qwen_host: object, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    for module in (qwen_vl, qwen_image_prompt):
        monkeypatch.setattr(module, "STORE", store)
    model, tokenizer, processor = QwenVLLoader().select(CHAT_MODEL)
    _, encoder, _, _ = QwenImageLoader().select("Qwen-Image")
    with torch.inference_mode():
        assert QwenVLChat().chat(model, tokenizer, "own question", QUESTION, processor=processor, max_new_tokens=4)["result"][0]
        one, _ = QwenImagePromptEncode().encode(encoder, "a red fox")
        assert store.loads == 1
        # The chat model's own handle encodes the same, and the encoder's chats.
        monkeypatch.setenv("ADVANCED_MODELS_PROMPT_CACHE_MB", "0")
        same, _ = QwenImagePromptEncode().encode(model, "a red fox")
        assert torch.equal(one[0][0], same[0][0])
        answers = [
            QwenVLChat().chat(part, tokenizer, "describe", processor=processor, images=picture(), **GREEDY)["result"][0]
            for part in (model, encoder)
        ]
    assert answers[0] == answers[1]
    assert store.loads == 1


def test_an_encoder_without_its_head_encodes_and_says_that_it_cannot_write(
    qwen_host: StandaloneHost, qwen_folder: Path, tmp_path: Path
) -> None:
    import json
    import shutil

    from safetensors.torch import load_file, save_file

    models = tmp_path / "headless"
    shutil.copytree(qwen_folder / "diffusers" / "Qwen-Image", models / "diffusers" / "Qwen-Image")
    folder = models / "diffusers" / "Qwen-Image" / "text_encoder"
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    file = folder / index["weight_map"].pop("lm_head.weight")
    tensors = load_file(file)
    del tensors["lm_head.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    _, tokenizer, processor = QwenVLLoader().select(CHAT_MODEL)
    _, whole, _, _ = QwenImageLoader().select("Qwen-Image")
    with torch.inference_mode():
        expected, _ = QwenImagePromptEncode().encode(whole, "a red fox")
        qwen_host.models = (models,)
        _, encoder, _, _ = QwenImageLoader().select("Qwen-Image")
        embeds, _ = QwenImagePromptEncode().encode(encoder, "a red fox")
        assert torch.equal(embeds[0][0], expected[0][0])
        loads = STORE.loads
        with pytest.raises(UserError, match="lacks the language head"):
            QwenVLChat().chat(encoder, tokenizer, "own question", QUESTION, processor=processor)
    assert STORE.loads == loads


def test_pictures_without_a_processor_and_other_models(parts: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="Pictures need the PROCESSOR"):
        ask(parts | {"processor": None}, images=picture())
    transformer, _, vae, _ = QwenImageLoader().select("Qwen-Image")
    for wrong, socket in ((transformer, "QWEN_IMAGE_TRANSFORMER"), (vae, "QWEN_IMAGE_VAE")):
        with pytest.raises(UserError, match=f"is a {socket}, where a QWEN_VL belongs"):
            ask(parts | {"qwen_vl": wrong})


def test_video_says_what_it_needs(parts: dict[str, Any]) -> None:
    from advanced_models.loaders.processors import has_torchvision

    if has_torchvision():
        pytest.skip("torchvision is here")
    with pytest.raises(UserError, match=r"Video needs torchvision.*one conversation"):
        ask(parts, images=torch.cat([picture()] * 4), images_are=FRAMES)


def test_presets_in_every_language() -> None:
    for preset, language in ((preset, language) for preset in PRESETS for language in LANGUAGES):
        text = instruction(preset, "with a hat", language, subject="the picture")
        assert "with a hat" in text
        assert ("Answer in Chinese." in text) == (language == "Chinese")
        assert ("the picture" in text) == (preset != "own question")
        assert "{" not in text
    assert "the text below" in instruction("FLUX prompt", "a fox", "English", subject=None)
    with pytest.raises(UserError, match="works on a picture"):
        instruction("describe", "a fox", "English", subject=None)
    with pytest.raises(UserError, match="The prompt is empty"):
        instruction("FLUX prompt", " ", "English", subject=None)


@pytest.mark.parametrize(
    ("height", "width", "most", "fewest", "expected"),
    [
        # By hand: 1000x2000 into 1,003,520 pixels shrinks by 1.4117 to 708x1416, cut to multiples of 28.
        (1000, 2000, 1280 * 784, 0, (700, 1400)),
        # 20x10 grown to at least 3136 pixels: by 3.96 to 79.2x39.6, raised to multiples of 28.
        (20, 10, 10**6, 3136, (84, 56)),
        (56, 84, 10**6, 3136, (56, 84)),
    ],
)
def test_sizes_for_the_model(height: int, width: int, most: int, fewest: int, expected: tuple[int, int]) -> None:
    assert fit(height, width, most, fewest, 28) == expected


def test_limits_of_pixels_follow_the_free_memory() -> None:
    import json

    from advanced_models.loaders.bundled_configs import BUNDLED_CONFIGS

    config = json.loads((BUNDLED_CONFIGS / "qwen2.5-vl-7b" / "config.json").read_text())
    plenty, little = most_pixels(config, 10**12, 1), most_pixels(config, 300 * 10**6, 1)
    assert plenty == 1280 * 784  # Qwen's own recommendation
    assert 256 * 784 < little < plenty
    assert most_pixels(config, 300 * 10**6, 4) < little
    assert most_pixels(config, 0, 1) == 256 * 784


def test_large_pictures_are_scaled_to_the_limit(parts: dict[str, Any]) -> None:
    """A picture scaled by hand beforehand gets the same answer."""
    large = picture(280, 140)
    limit = 56 * 112
    small = Image.fromarray((large[0] * 255).round().byte().numpy()).resize((112, 56), Image.Resampling.BICUBIC)
    import numpy

    scaled = torch.from_numpy(numpy.asarray(small).copy()).float()[None] / 255
    assert ask(parts, images=large, max_pixels=limit) == ask(parts, images=scaled)
    assert ask(parts, images=large, max_pixels=limit) != ask(parts, images=large, max_pixels=limit * 4)


def test_frames_are_thinned_to_the_models_rate() -> None:
    def frames(count: int) -> list[torch.Tensor]:
        """Grey frames whose value is their number, in chunks of five."""
        values = (torch.arange(count) % 256).float()[:, None, None, None].expand(-1, 28, 28, 3) / 255
        return list(values.split(5))

    clip = sample(frames(48), 16.0, 2.0, 10**6, 28)
    assert clip.frames.shape == (6, 3, 28, 28)
    assert clip.frames[:, 0, 0, 0].tolist() == [0, 8, 16, 24, 32, 40]
    assert clip.rate == 2.0
    slow = sample(frames(3), 1.0, 2.0, 10**6, 28)
    assert slow.frames[:, 0, 0, 0].tolist() == [0, 1, 2, 2]
    assert slow.rate == 1.0
    with pytest.raises(UserError, match="no frames"):
        sample([], 16.0, 2.0, 10**6, 28)


def test_a_long_video_is_thinned_further() -> None:
    still = torch.zeros(1, 28, 28, 3)
    values = [torch.full_like(still, (index % 200) / 255) for index in range(2000)]
    clip = sample(values, 2.0, 2.0, 10**6, 28)
    assert 384 <= clip.frames.shape[0] <= 768
    assert clip.rate == 0.5
    assert clip.frames[:4, 0, 0, 0].tolist() == [0, 4, 8, 12]
    assert clip.frames[200:203, 0, 0, 0].tolist() == [0, 4, 8]


def test_the_picture_is_seen_in_rows_and_columns(parts: dict[str, Any]) -> None:
    """What the prompt encoder needs help with is right in chat already: the processor names the image tokens."""
    if not has_token_types():
        pytest.skip("this transformers finds the positions by itself")
    reads = STORE.companion(parts["processor"])
    inputs = reads(text=["<|vision_start|><|image_pad|><|vision_end|>"], images=[Image.new("RGB", (56, 84))], return_tensors="pt")
    assert inputs["mm_token_type_ids"].sum() == 6


def test_the_registry_chooses_the_class(tmp_path: Path, qwen_host: StandaloneHost) -> None:
    """Qwen3-VL: another class, patches of 16, tied weights."""
    from advanced_models.demo.build import build
    from transformers import AutoTokenizer, Qwen3VLForConditionalGeneration

    folder = build("Qwen3-VL-4B-Instruct", tmp_path / "models" / "diffusers" / "Qwen3-VL-4B-Instruct")
    qwen_host.models = (tmp_path / "models",)
    parts = dict(zip(QwenVLLoader.RETURN_NAMES, QwenVLLoader().select("Qwen3-VL-4B-Instruct", "fp32"), strict=True))
    [answer] = ask(parts, images=picture(256, 256))

    model = on_device(Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    reads = STORE.companion(parts["processor"])
    assert type(reads).__name__ == "Qwen3VLProcessor"
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    inputs = reads(text=[text], images=[Image.fromarray((picture(256, 256)[0] * 255).round().byte().numpy())], return_tensors="pt")
    assert inputs["image_grid_thw"].tolist() == [[1, 16, 16]]
    with torch.inference_mode():
        written = model.generate(**on_device(inputs), do_sample=False, repetition_penalty=1.05, max_new_tokens=24)
    assert answer == tokenizer.decode(written[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()
    assert len(answer) > 10
