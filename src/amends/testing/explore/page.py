"""The report as one HTML page that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from .coverage import FORWARD, UNDO, Covered
from .findings import Finding
from .report import Report

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #5c6577; --line: #d9dee7; --page: #fff;
  --card: #f6f8fb;
  --bad: #b3261e; --good: #1b7a43; --some: #d8efe0; --none: #fbe3e1; --accent: #3056d3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9f0; --soft: #9aa4b6; --line: #333b4a;
  --page: #14181f;
  --card: #1c222c; --bad: #ff8a80; --good: #7bd99d; --some: #1f3d2b; --none: #48262a;
  --accent: #9db4ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 2rem 1.25rem 4rem; background: var(--page);
  color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem;
  margin: 2.25rem 0 .75rem; }
.soft, footer { color: var(--soft); } .good { color: var(--good); } .bad { color: var(--bad); }
.sums { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.25rem 0; padding: 0; list-style: none; }
.sums li { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .5rem .9rem; }
.sums b { display: block; font-size: 1.25rem; }
article { background: var(--card); border: 1px solid var(--line);
  border-left: .3rem solid var(--bad); border-radius: .5rem;
  padding: .9rem 1.1rem; margin: .9rem 0; } article h3 { margin: 0 0 .4rem; font-size: 1rem;
  overflow-wrap: anywhere; }
code, pre { font: .875rem/1.5 ui-monospace, monospace; } pre { margin: .4rem 0; overflow-x: auto;
  white-space: pre-wrap; }
.do::before { content: "→ "; color: var(--accent); } details { margin-top: .4rem; }
  summary { cursor: pointer; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .875rem; }
th, td { border: 1px solid var(--line); padding: .3rem .5rem; text-align: right; }
  th { font-weight: 600; }
tr > :first-child { text-align: left; white-space: nowrap; } thead th { text-align: center;
  vertical-align: bottom; }
td.some { background: var(--some); } td.none { background: var(--none); }
  td.out { color: var(--soft); text-align: center; }
"""


def page(report: Report) -> str:
    """The page."""
    findings = "".join(map(_finding, report.findings)) or '<p class="good">Nothing was found.</p>'
    notes = "".join(f"<li>{escape(note.text)}</li>" for note in report.notes)
    accepted = ", ".join(found.name for found in report.accepted)
    parts = [
        f"<h1>{escape(report.saga)}</h1>",
        f'<p class="soft">Every path with up to {report.faults} faults.</p>',
        _sums(report),
        _stopped(report) if report.stopped else "",
        f"<h2>Findings</h2>{findings}",
        f"<p>Accepted: {escape(accepted)}</p>" if accepted else "",
        f"<h2>To know</h2><ul>{notes}</ul>" if notes else "",
        f"<h2>What was exercised</h2>{_coverage(report.coverage)}" if report.coverage else "",
        "<footer><p>Numbers are how often an outcome was exercised, over all paths.</p></footer>",
    ]
    title = f"{escape(report.saga)}: every failure path"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _stopped(report: Report) -> str:
    left = f"{report.remaining:,} or more paths were left out"
    return f'<p class="bad">Not all: {left}: {escape(report.stopped)}</p>'


def _sums(report: Report) -> str:
    sums = [("paths", f"{report.runs:,}"), ("findings", str(len(report.findings)))]
    if report.seconds:
        sums.append(("seconds", f"{report.seconds:.1f}"))
    sums += [(f"ended {status.replace('_', ' ')}", f"{count:,}") for status, count in report.statuses.items()]
    return (
        f'<ul class="sums">{"".join(f"<li><b>{value}</b>{escape(name)}</li>" for name, value in sums)}</ul>'
    )


def _finding(found: Finding) -> str:
    evidence = "\n".join(found.evidence)
    story = "\n".join(found.story)
    return (
        f'<article id="{escape(found.name.replace(" ", "-"))}"><h3>{escape(found.text)}</h3>'
        + (f"<pre>{escape(evidence)}</pre>" if evidence else "")
        + f'<p class="do">{escape(found.advice)}</p>'
        + (
            f"<p>Replay: <code>{escape(found.replay or '(no faults)')}</code></p>"
            f"<details><summary>What happened</summary><pre>{escape(story)}</pre></details>"
            if found.story
            else ""
        )
        + "</article>"
    )


def _coverage(coverage: Iterable[Covered]) -> str:
    names = (*FORWARD, *UNDO)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">{escape(c.step)}</th>{"".join(_cell(c, name) for name in names)}</tr>'
        for c in coverage
    )
    top = f'<thead><tr><th scope="col">step</th>{head}</tr></thead>'
    return f'<div class="wide"><table>{top}<tbody>{rows}</tbody></table></div>'


def _cell(covered: Covered, name: str) -> str:
    if name in covered.counts:
        return f'<td class="some">{covered.counts[name]:,}</td>'
    return '<td class="none">never</td>' if name in covered.missed else '<td class="out">·</td>'
