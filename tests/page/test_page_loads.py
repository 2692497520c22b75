"""Opening and running a graph: nothing on the console, nothing from elsewhere, and the saved workflow as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from page_browser import GraphPage
from page_server import PageServer

EXAMPLES = sorted((Path(__file__).parents[2] / "example_workflows").glob("*.json"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_opening_and_running_leaves_the_workflow_as_it_was(graph: GraphPage, server: PageServer, example: Path) -> None:
    workflow = json.loads(example.read_text(encoding="utf-8"))
    graph.open(workflow)
    before = graph.saved()
    assert {node: entry["widgets_values"] or [] for node, entry in before["nodes"].items()} == {
        str(node["id"]): node.get("widgets_values") or [] for node in workflow["nodes"]
    }
    assert graph.run() == "execution_success"
    graph.page.wait_for_timeout(300)
    assert graph.saved() == before
    assert server.prompts
