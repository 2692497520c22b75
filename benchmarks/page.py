"""What the extension adds to the page: `COMFYUI_FRONT_ENDS=FOLDER python benchmarks/page.py`.

Chromium's sampling profiler, on the newest front end given: the time that its main thread spends in our modules while the page loads with
an example in it, and in a second in which nothing happens, per frame of 1/60 s. Whole page loads with and without the pack differ by less
than they differ from one to the next.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACK = Path(__file__).parents[1]
sys.path.insert(0, str(PACK / "tests" / "page"))

import advanced_models.host  # noqa: E402
from advanced_models.host.standalone import StandaloneHost  # noqa: E402
from page_browser import GraphPage, front_ends, launch  # noqa: E402
from page_server import PACK_NAME, PageServer  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

EXAMPLE = PACK / "example_workflows" / "flux_vram_guard.json"
LOADS, IDLE_S, FRAMES_A_SECOND = 3, 6, 60
INTERVAL_US = 200


def busy_ms(devtools: Any, work: Callable[[], None]) -> float:
    """Milliseconds that the main thread spent in our modules, and in what they called, while `work` went on."""
    devtools.send("Profiler.setSamplingInterval", {"interval": INTERVAL_US})
    devtools.send("Profiler.start")
    work()
    profile = devtools.send("Profiler.stop")["profile"]
    nodes = {node["id"]: node for node in profile["nodes"]}
    ours: set[int] = set()

    def mark(node: dict[str, Any], inside: bool) -> None:
        inside = inside or PACK_NAME in node["callFrame"]["url"]
        if inside:
            ours.add(node["id"])
        for child in node.get("children", ()):
            mark(nodes[child], inside)

    mark(profile["nodes"][0], False)
    return sum(delta for sample, delta in zip(profile["samples"], profile["timeDeltas"], strict=True) if sample in ours) / 1000


def main() -> None:
    """Measure, and print."""
    sys.setrecursionlimit(20_000)  # a profile is as deep as the deepest call
    version, files = max(front_ends().items(), key=lambda entry: tuple(map(int, entry[0].split("."))))
    example = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        advanced_models.host.use(StandaloneHost.below(Path(folder)))
        server, browser = PageServer(files, Path(folder)), launch(playwright)
        graph = GraphPage(browser, server.url, nodes_2=False, version=version)
        devtools = graph.page.context.new_cdp_session(graph.page)
        devtools.send("Profiler.enable")
        loads = sorted(busy_ms(devtools, graph.start) for _ in range(LOADS))
        opening = busy_ms(devtools, lambda: graph.open(example))
        graph.page.wait_for_timeout(3000)
        idle = busy_ms(devtools, lambda: graph.page.wait_for_timeout(IDLE_S * 1000)) / (IDLE_S * FRAMES_A_SECOND)
        browser.close()
        server.close()
    print(f"front end {version}, time of the main thread in our modules")
    print(f"page load: {loads[len(loads) // 2]:.1f} ms (of {', '.join(f'{load:.1f}' for load in loads)}; to stay under 50)")
    print(f"opening {EXAMPLE.stem}: {opening:.1f} ms")
    print(f"idle: {idle:.3f} ms a frame (to stay under 1)")


if __name__ == "__main__":
    main()
