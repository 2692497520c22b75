"""Make the README's pictures of the page: `COMFYUI_FRONT_ENDS=FOLDER python tools/screenshots.py` writes `docs/images/*.png`.

The page is ComfyUI's real front end, served as the tests of the page serve it; what it shows is computed, except the measured memory.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

PACK = Path(__file__).parents[1]
sys.path.insert(0, str(PACK / "tests" / "page"))

import advanced_models.host  # noqa: E402
from advanced_models.host.standalone import StandaloneHost  # noqa: E402
from page_browser import GraphPage, front_ends, launch  # noqa: E402
from page_server import PageServer  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

IMAGES = PACK / "docs" / "images"
EXAMPLE = PACK / "example_workflows" / "flux_vram_guard.json"
LOADER, GUARD, BUDGET_GB = 1, 7, 24
GRAPH = {"x": 90, "y": 200, "width": 640, "height": 700}
SIDEBAR = {"x": 0, "y": 38, "width": 720, "height": 862}
SIZES = {LOADER: (300, 460), GUARD: (320, 560)}


def main() -> None:
    """The graph with cost panel and guard, and the sidebar tab, from the newest front end given."""
    version, files = max(front_ends().items())
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        advanced_models.host.use(StandaloneHost.below(Path(folder)))
        server = PageServer(files, Path(folder))
        browser = launch(playwright)
        page = GraphPage(browser, server.url, nodes_2=True, version=version)
        workflow = json.loads(EXAMPLE.read_text(encoding="utf-8"))
        workflow["nodes"] = [node for node in workflow["nodes"] if node["type"] != "MarkdownNote"]
        for node in workflow["nodes"]:
            node["size"] = SIZES.get(node["id"], node["size"])
        next(node for node in workflow["nodes"] if node["id"] == GUARD)["widgets_values"][1] = BUDGET_GB
        page.clear()
        page.open(workflow, scale=0.9)
        page.page.locator(".advanced-models .bar").wait_for(timeout=60_000)
        page.page.locator(".advanced-models.gauge").filter(has_text="GiB").wait_for()
        page.screenshot(IMAGES / "guard.png", clip=GRAPH)
        page.page.evaluate("() => app.extensionManager.sidebarTab.toggleSidebarTab('advanced-models')")
        sidebar = page.page.locator(".advanced-models.sidebar")
        sidebar.get_by_text(re.compile("^RAM")).wait_for()
        sidebar.get_by_text(re.compile("^Nothing: a component")).wait_for()
        sidebar.locator("summary").filter(has_text=re.compile(r"^FLUX\.1 \(")).click()
        sidebar.locator("summary").filter(has_text="FLUX.1 [dev]").first.click()
        page.page.wait_for_timeout(500)
        page.screenshot(IMAGES / "sidebar.png", clip=SIDEBAR)
        browser.close()
        server.close()


if __name__ == "__main__":
    main()
