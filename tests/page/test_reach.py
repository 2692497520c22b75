"""Everything of ours can be reached with the keyboard, has a name for a screen reader, and can be read in the dark and the light theme."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_browser import GraphPage

EXAMPLE = json.loads((Path(__file__).parents[2] / "example_workflows" / "flux_vram_guard.json").read_text(encoding="utf-8"))
NAMELESS = re.compile(r"^\s*- (button|meter|progressbar|img|combobox|slider|spinbutton|textbox|link|region|checkbox|status)(?! \")")
READABLE, VISIBLE = 4.5, 3.0
"""Contrast of text and of marks, by WCAG 2.1 (1.4.3 and 1.4.11)."""

CONTRASTS = """() => {
    const numbers = (colour) => {
        const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data];
    };
    const light = (colour) => {
        const [r, g, b] = numbers(colour).slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (one, other) => {
        const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
        return (bright + 0.05) / (dark + 0.05);
    };
    const ground = (element) => {
        while (element && numbers(getComputedStyle(element).backgroundColor)[3] < 255) element = element.parentElement;
        return getComputedStyle(element ?? document.body).backgroundColor;
    };
    const found = [];
    for (const element of document.querySelectorAll(".advanced-models, .advanced-models *")) {
        const style = getComputedStyle(element);
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!element.checkVisibility() || element.closest("[hidden]") || element.disabled) continue;
        if (own) found.push(["text", ratio(style.color, ground(element)), element.textContent.slice(0, 40)]);
        if (element.matches(".state")) found.push(["mark", ratio(style.borderInlineStartColor, ground(element)), element.className]);
    }
    return found;
}"""


@pytest.fixture(params=["dark", "light"])
def themed(graph: GraphPage, request: pytest.FixtureRequest) -> Iterator[GraphPage]:
    graph.start(light=request.param == "light")
    with_everything(graph)
    yield graph
    graph.start()
    graph.clear()  # what the page itself complains about while it starts is no fault of ours


def with_everything(graph: GraphPage) -> Any:
    """A loader's panel, the guard's bar, the gauge and the sidebar, all with their content. Returns the sidebar."""
    graph.open(EXAMPLE, scale=0.8)
    graph.toggle_tab("advanced-models")
    sidebar = graph.page.locator(".advanced-models.sidebar")
    sidebar.locator("summary").first.wait_for()
    sidebar.get_by_text(re.compile("^RAM")).wait_for()
    graph.page.locator(".advanced-models .bar").wait_for(timeout=20_000)
    graph.page.locator(".advanced-models.gauge").filter(has_text="GiB").wait_for()
    return sidebar


@pytest.fixture
def sidebar(graph: GraphPage) -> Iterator[Any]:
    yield with_everything(graph)
    graph.toggle_tab("advanced-models")


def test_it_can_be_read(themed: GraphPage) -> None:
    found = themed.page.evaluate(CONTRASTS)
    assert {kind for kind, _, _ in found} == {"text", "mark"}
    assert [(kind, round(ratio, 2), what) for kind, ratio, what in found if ratio < (READABLE if kind == "text" else VISIBLE)] == []


def test_everything_has_a_name(graph: GraphPage, sidebar: Any) -> None:
    for place in graph.page.locator(".advanced-models").all():
        assert [line for line in place.aria_snapshot().splitlines() if NAMELESS.match(line)] == []
    assert graph.page.get_by_role("status", name="What this loader costs").count() == 1
    assert graph.page.get_by_role("status", name="Whether the graph fits").count() == 1
    assert graph.page.get_by_role("status", name="Memory", exact=True).count() == 1
    for name in ("Memory", "Downloads", "Loaded components", "Models"):
        assert sidebar.get_by_role("region", name=name, exact=True).count() == 1


def test_the_tab_key_visits_everything_in_the_sidebar(graph: GraphPage, sidebar: Any) -> None:
    sidebar.locator("summary").first.click()
    wanted = sidebar.locator("summary:visible, button:visible:enabled").count()
    sidebar.locator("summary").first.focus()
    visited = 1
    while visited <= wanted:
        graph.page.keyboard.press("Tab")
        outline = graph.page.evaluate(
            "() => document.activeElement.closest('.advanced-models.sidebar') && getComputedStyle(document.activeElement).outlineStyle"
        )
        if outline is None:
            break
        assert outline != "none"
        visited += 1
    assert visited == wanted > 10


def test_a_panel_is_scrolled_with_the_keyboard(graph: GraphPage, sidebar: Any) -> None:
    panel = graph.page.get_by_role("status", name="What this loader costs")
    panel.focus()
    room = panel.evaluate("panel => panel.scrollHeight - panel.clientHeight")
    graph.page.keyboard.press("End")
    graph.page.wait_for_timeout(300)
    assert panel.evaluate("panel => panel.scrollTop") >= room - 1


def test_nothing_is_loaded_from_elsewhere(graph: GraphPage) -> None:
    graph.outside.clear()
    with_everything(graph)
    assert graph.outside == []
    graph.toggle_tab("advanced-models")
