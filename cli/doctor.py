"""`advanced-models doctor`: versions, the device, and what is broken or missing, each with its remedy."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from typing import Any

from ..host.environment import Finding, Report, examine

_NAME_WIDTH = 28


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `doctor` takes."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the findings. 0 when all that is needed works, else 1."""
    report = examine()
    if args.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        print("\n".join(lines(report)))
    return 0 if report.healthy else 1


def lines(report: Report) -> Iterator[str]:
    """The report for a person to read."""
    yield _row("system", f"{platform.system()} {platform.machine()}")
    yield _row("device", _device(report.device))
    for finding in report.findings:
        yield _row(finding.name, finding.version or ("-" if finding.problem else "ok"))
        if finding.problem:
            yield f"    {'BROKEN' if finding.needed else 'note'}: {finding.problem}"
    yield ""
    yield from _remedies("To repair:", [finding for finding in report.findings if finding.needed])
    yield from _remedies("Works without, but could be better:", [finding for finding in report.findings if not finding.needed])
    yield "Everything that is needed works." if report.healthy else "Something that is needed is broken."


def _row(name: str, value: str) -> str:
    return f"{name:<{_NAME_WIDTH}}{value}"


def _remedies(title: str, findings: list[Finding]) -> Iterator[str]:
    """Each remedy once: one broken package breaks others."""
    remedies = dict.fromkeys(finding.remedy for finding in findings if finding.problem and finding.remedy)
    if remedies:
        yield title
        yield from (f"    {remedy}" for remedy in remedies)


def _device(device: dict[str, Any]) -> str:
    if not device:
        return "unknown, because torch does not work"
    main = f"{_gib(device['free_main_memory_bytes'])} of {_gib(device['main_memory_bytes'])} GiB of main memory free"
    if "memory_bytes" not in device:
        return f"{device['name']}, {main}"
    return f"{device['name']}, {_gib(device['free_memory_bytes'])} of {_gib(device['memory_bytes'])} GiB free; {main}"


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f}"
