"""What a node is doing stands on the node while it does it, and not in the saved workflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from page_browser import GraphPage
from page_server import PageServer

EXAMPLE = Path(__file__).parents[2] / "example_workflows" / "qwen_caption.json"
LINE = "[aria-label='What this node is doing']"


def test_the_text_follows_the_events_and_is_not_saved(graph: GraphPage, server: PageServer) -> None:
    graph.open(json.loads(EXAMPLE.read_text(encoding="utf-8")))
    before = graph.saved()
    chat = next(node for node, entry in before["nodes"].items() if entry["type"] == "QwenVLChat")
    server.send("advanced_models.progress", {"node": chat, "text": "loading the model of Qwen2.5-VL"})
    line = graph.page.locator(LINE)
    line.filter(has_text="loading the model").wait_for()
    server.send("advanced_models.progress", {"node": chat, "text": "A dog on a beach"})
    line.filter(has_text="A dog on a beach").wait_for()
    assert line.count() == 1 and line.is_visible()
    assert graph.saved() == before
    assert "A dog" not in json.dumps(graph.page.evaluate("async () => (await app.graphToPrompt()).output"))
    server.send("advanced_models.progress", {"node": chat, "text": ""})
    line.wait_for(state="detached")
    assert graph.saved() == before


def test_while_a_prompt_runs(graph: GraphPage, server: PageServer) -> None:
    def answer(node_id: str, node: Any) -> Mapping[str, Any]:
        for text in ("A", "A red", "A red fox"):
            server.send("advanced_models.progress", {"node": node_id, "text": text})
        return {"text": ["A red fox"]}

    server.outputs["QwenVLChat"] = answer
    graph.open(json.loads(EXAMPLE.read_text(encoding="utf-8")))
    before = graph.saved()
    assert graph.run() == "execution_success"
    graph.page.locator(LINE).filter(has_text="A red fox").wait_for()
    assert graph.saved() == before
