"""Make the README's pictures of the page: `COMFYUI_FRONT_ENDS=FOLDER python tools/screenshots.py` writes `docs/images/*.png`.

The page is ComfyUI's real front end, served as the tests of the page serve it; what it shows is computed, except the measured memory.
"""

from __future__ import annotations

import json
import math
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

PACK = Path(__file__).parents[1]
sys.path.insert(0, str(PACK / "tests" / "page"))

import advanced_models.host  # noqa: E402
import torch  # noqa: E402
from advanced_models.host.standalone import StandaloneHost  # noqa: E402
from advanced_models.video.encode import save_video  # noqa: E402
from advanced_models.video.frames import frames_of  # noqa: E402
from advanced_models.video.settings import settings_for  # noqa: E402
from clips import serve, shown_by_node  # noqa: E402
from page_browser import GraphPage, front_ends, launch  # noqa: E402
from page_server import PageServer  # noqa: E402
from player_page import PLAYER, WORKFLOW  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

IMAGES = PACK / "docs" / "images"
EXAMPLE = PACK / "example_workflows" / "flux_vram_guard.json"
LOADER, GUARD, BUDGET_GB = 1, 7, 24
GRAPH = {"x": 90, "y": 200, "width": 640, "height": 700}
SIDEBAR = {"x": 0, "y": 38, "width": 720, "height": 862}
SIZES = {LOADER: (300, 460), GUARD: (320, 560)}
MARGIN = 12

FRAMES, WIDTH, HEIGHT = 48, 480, 270
LIGHTS = {"day": ((0.35, 0.6, 0.95), (1.0, 0.95, 0.7)), "dusk": ((0.25, 0.15, 0.4), (1.0, 0.5, 0.25))}
"""Colours of the sky at the top and of the sun, by the name of a clip."""


def main() -> None:
    """Every picture, from the newest front end given."""
    version, files = max(front_ends().items())
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        host = StandaloneHost.below(Path(folder))
        advanced_models.host.use(host)
        server = PageServer(files, Path(folder))
        browser = launch(playwright)
        page = GraphPage(browser, server.url, nodes_2=True, version=version)
        page.clear()
        guard_and_sidebar(page)
        page.clear()
        wire(page)
        page.clear()
        serve(host, server.view_folder)
        player_and_timeline(page, server, host)
        browser.close()
        server.close()


def guard_and_sidebar(page: GraphPage) -> None:
    """The graph with cost panel and guard, and the sidebar tab."""
    workflow = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    workflow["nodes"] = [node for node in workflow["nodes"] if node["type"] != "MarkdownNote"]
    for node in workflow["nodes"]:
        node["size"] = SIZES.get(node["id"], node["size"])
    next(node for node in workflow["nodes"] if node["id"] == GUARD)["widgets_values"][1] = BUDGET_GB
    page.open(workflow, scale=0.9)
    page.page.locator(".advanced-models .bar").wait_for(timeout=60_000)
    page.page.locator(".advanced-models.gauge").filter(has_text="GiB").wait_for()
    page.screenshot(IMAGES / "guard.png", clip=GRAPH)
    toggle_tab(page, "advanced-models")
    sidebar = page.page.locator(".advanced-models.sidebar")
    sidebar.get_by_text(re.compile("^RAM")).wait_for()
    sidebar.get_by_text(re.compile("^Nothing: a component")).wait_for()
    sidebar.locator("summary").filter(has_text=re.compile(r"^FLUX\.1 \(")).click()
    sidebar.locator("summary").filter(has_text="FLUX.1 [dev]").first.click()
    page.page.wait_for_timeout(500)
    page.screenshot(IMAGES / "sidebar.png", clip=SIDEBAR)
    toggle_tab(page, "advanced-models")


def wire(page: GraphPage) -> None:
    """A wire over a slot that does not take it."""
    shape = {"size": [280, 220], "flags": {}, "mode": 0, "properties": {}}
    nodes = [
        {**shape, "id": 1, "type": "WanVAELoader", "pos": [40, 40], "order": 0, "widgets_values": ["wan2.1-vae", "auto", False, "auto"]},
        {**shape, "id": 2, "type": "FluxDecode", "pos": [440, 40], "order": 1, "widgets_values": []},
    ]
    page.open({"last_node_id": 2, "last_link_id": 0, "nodes": nodes, "links": [], "version": 0.4})
    page.page.wait_for_timeout(500)
    mouse = page.page.mouse
    mouse.move(*page.slot(1, 0, side="output"))
    mouse.down()
    x, y = page.slot(2, 0, side="input")
    mouse.move(x, y, steps=8)
    page.page.get_by_role("tooltip").filter(has_text="does not fit").wait_for()
    page.screenshot(IMAGES / "wire.png", clip={"x": 100, "y": 90, "width": 800, "height": 290})
    mouse.up()


def player_and_timeline(page: GraphPage, server: PageServer, host: StandaloneHost) -> None:
    """The player with two results compared, and the Video tab with a timeline of them."""
    page.open(WORKFLOW, scale=0.9)
    for name in LIGHTS:
        settings = settings_for("mp4 (h264)", 24, keyframe_interval=12)
        saved = save_video(frames_of(clip(name)), settings, host, folder=host.output_folder, prefix=f"video/{name}", sound=None)
        server.outputs["VideoCombine"] = shown_by_node(saved)
        assert page.run() == "execution_success"
    player = page.page.locator(PLAYER)
    player.get_by_label("Compare with").select_option(label="day_00001_.mp4")
    player.locator(".other video").wait_for()
    for frame, key in ((8, "i"), (39, "o"), (20, "")):
        go_to(page, player, frame)
        if key:
            player.press(key)
    page.page.wait_for_timeout(1000)
    box = player.bounding_box()
    assert box is not None
    page.screenshot(IMAGES / "player.png", clip=around(box))
    toggle_tab(page, "advanced-models-video")
    tab = page.page.locator(".advanced-models.video-tab")
    for name in ("day", "dusk", "day"):
        blocks = tab.locator(".block").count()
        tab.get_by_role("button", name=f"Add {name}_00001_.mp4 to the timeline").click()
        tab.locator(".block").nth(blocks).wait_for()
    for label, value in (("First frame", 12), ("Clip speed", 0.5)):
        field(tab, label, value)
    tab.locator(".block").nth(1).click()
    for label, value in (("Last frame", 35), ("Cross-fade", 12)):
        field(tab, label, value)
    go_to(page, tab.get_by_label("Video player"), 20)
    page.page.wait_for_timeout(1000)
    page.screenshot(IMAGES / "video_tab.png", clip=SIDEBAR)


def clip(name: str) -> torch.Tensor:
    """[FRAMES, HEIGHT, WIDTH, 3]: a sun that goes over hills."""
    sky, sun = (torch.tensor(colour) for colour in LIGHTS[name])
    rows, columns = torch.meshgrid(torch.linspace(0, 1, HEIGHT), torch.linspace(0, WIDTH / HEIGHT, WIDTH), indexing="ij")
    frames = []
    for index in range(FRAMES):
        at = index / (FRAMES - 1)
        across, down = (0.15 + 0.7 * at) * WIDTH / HEIGHT, 0.75 - 0.55 * math.sin(math.pi * at)
        near = 1 / (1 + (((columns - across) ** 2 + (rows - down) ** 2) * 150) ** 2)
        glow = torch.clamp(near + 0.5 * rows, 0, 1)[..., None]
        picture = sky * (1 - glow) + sun * glow
        for depth in (1, 2, 3):
            ridge = 0.55 + 0.12 * depth + 0.06 * torch.sin(columns * (3 + 2 * depth) + depth + at * depth / 2)
            picture = torch.where((rows > ridge)[..., None], sky * (0.9 - 0.22 * depth) + sun * 0.06, picture)
        frames.append(picture)
    return torch.stack(frames)


def go_to(page: GraphPage, player: Any, frame: int) -> None:
    player.get_by_label("Go to frame").fill(str(frame))
    player.get_by_label("Go to frame").press("Enter")
    slider = player.get_by_label("Frame", exact=True).element_handle()
    page.page.wait_for_function("([slider, frame]) => slider.value === frame", arg=[slider, str(frame)])


def field(tab: Any, label: str, value: float) -> None:
    tab.get_by_label(label, exact=True).fill(str(value))
    tab.get_by_label(label, exact=True).press("Tab")


def toggle_tab(page: GraphPage, name: str) -> None:
    page.toggle_tab(name)


def around(box: dict[str, float]) -> dict[str, float]:
    return {"x": box["x"] - MARGIN, "y": box["y"] - MARGIN, "width": box["width"] + 2 * MARGIN, "height": box["height"] + 2 * MARGIN}


if __name__ == "__main__":
    main()
