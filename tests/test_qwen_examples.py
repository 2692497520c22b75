"""The shipped examples with Qwen run as they are, with small models, from the file to what they leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.demo.pictures import draw_example
from advanced_models.host.standalone import StandaloneHost
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from advanced_models.workflows.definitions import Definitions
from advanced_models.workflows.document import read_workflow
from advanced_models.workflows.execute import Executor, Run
from advanced_models.workflows.native import NATIVE_NODES
from advanced_models.workflows.validate import validate
from PIL import Image
from qwen_models import qwen_folder, qwen_host, small_pictures

__all__ = ["qwen_folder", "qwen_host", "small_pictures"]

EXAMPLES = Path(__file__).parents[1] / "example_workflows"


def run(name: str, host: StandaloneHost, changes: dict[str, dict[str, Any]]) -> Run:
    """Run an example; `changes` are inputs by class of node, to make it short."""
    definitions = Definitions({**NATIVE_NODES, **NODE_CLASS_MAPPINGS})
    prompt = read_workflow(EXAMPLES / f"{name}.json").prompt(definitions)
    for node in prompt.nodes.values():
        node.inputs |= changes.get(node.class_type, {})
    draw_example(host.input_folder / "example.png")
    return Executor(definitions).run(validate(prompt, definitions))


def shown_texts(done: Run) -> list[str]:
    return [text for node in done.nodes for text in node.ui.get("text", ())]


def test_caption(qwen_host: StandaloneHost) -> None:
    done = run("qwen_caption", qwen_host, {"QwenVLChat": {"max_new_tokens": 8}})
    chat, preview = shown_texts(done)
    assert chat == preview
    assert chat


def test_chat_writes_the_prompt_that_flux_paints(qwen_host: StandaloneHost, models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    encode = NODE_CLASS_MAPPINGS["FluxPromptEncode"].encode

    def listen(self: object, clip_l: object, t5_xxl: object, prompt: str, **settings: Any) -> Any:
        encoded.append(prompt)
        return encode(self, clip_l, t5_xxl, prompt, **settings)

    monkeypatch.setattr(NODE_CLASS_MAPPINGS["FluxPromptEncode"], "encode", listen)
    qwen_host.models = (*qwen_host.models, models_folder)
    small = {"QwenVLChat": {"max_new_tokens": 8}, "FluxDenoise": {"width": 64, "height": 64}}
    done = run("chat_to_flux", qwen_host, small)
    assert encoded == [shown_texts(done)[0]]
    [file] = qwen_host.output_folder.rglob("*.png")
    with Image.open(file) as image:
        assert image.size == (64, 64)


@pytest.mark.parametrize(("name", "size"), [("qwen_image_text_to_image", (96, 64)), ("qwen_image_edit", (96, 64))])
def test_qwen_image(qwen_host: StandaloneHost, small_pictures: None, name: str, size: tuple[int, int]) -> None:
    run(name, qwen_host, {"QwenImageDenoise": {"steps": 2, "width": size[0], "height": size[1]}})
    [file] = qwen_host.output_folder.rglob("*.png")
    with Image.open(file) as image:
        assert image.size == size
        assert torch.tensor(list(image.convert("L").getdata())).float().std() > 5
