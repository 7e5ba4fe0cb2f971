"""Colours of the picture, on light and on dark ground. Contrast of text is at least 7:1, of lines 4.5:1.

Renderers differ in how much CSS they know, so every rule is written out: no variables, no nesting.
"""

from __future__ import annotations

from ..diagram import State

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Noto Sans', sans-serif"

# (ground, text, quiet text, lines, boxes, cluster's ground, cluster's line)
LIGHT = ("#ffffff", "#1f2933", "#52606d", "#52606d", "#f8fafc", "#f1f5f9", "#9aa5b1")
DARK = ("#0f1720", "#e6edf3", "#a9b7c6", "#8b9bac", "#1b2733", "#15202b", "#52657a")

# state: (light fill, light line, dark fill, dark line, width of the line, dashes)
STATES = {
    State.WAITING: ("#fff8e1", "#8d6e00", "#2b2510", "#e0b84c", 1.5, "2 3"),
    State.RUNNING: ("#e3f2fd", "#0d47a1", "#10263d", "#64b5f6", 2.6, ""),
    State.DONE: ("#e8f5e9", "#1b5e20", "#12281a", "#81c784", 1.5, ""),
    State.FAILED: ("#ffebee", "#b71c1c", "#331416", "#ef9a9a", 2.6, ""),
    State.UNDOING: ("#f3e5f5", "#6a1b9a", "#281633", "#ce93d8", 2.6, "7 4"),
    State.UNDONE: ("#f3e5f5", "#6a1b9a", "#281633", "#ce93d8", 1.5, "7 4"),
    State.PARKED: ("#fff3e0", "#bf360c", "#331f10", "#ffab91", 4.0, ""),
    State.SKIPPED: ("#fafafa", "#80868c", "#151b21", "#75818d", 1.0, "1 3"),
}


def sheet(theme: str) -> str:
    """The style sheet: ``light``, ``dark``, or ``auto`` (as whoever looks at it prefers)."""
    if theme == "dark":
        return _fixed() + _rules(DARK, 1)
    light = _fixed() + _rules(LIGHT, 0)
    if theme == "light":
        return light
    return f"{light}@media (prefers-color-scheme: dark) {{\n{_rules(DARK, 1)}}}\n"


def name(state: State) -> str:
    """The class of a state."""
    return f"s-{state.value.replace(' ', '')}" if state else "s-none"


def _fixed() -> str:
    dashes = ""
    for state, (*_, wide, dash) in STATES.items():
        dashed = f" stroke-dasharray: {dash};" if dash else ""
        dashes += f".{name(state)}, .c-{name(state)[2:]} {{ stroke-width: {wide};{dashed} }}\n"
    return (
        f"text {{ font-family: {FONT}; }}\n"
        ".label { font-size: 13px; } .note, .head { font-size: 11px; } .edge-label { font-size: 11px; }\n"
        ".title { font-size: 17px; font-weight: 600; } .caption { font-size: 12px; }\n"
        ".line { fill: none; stroke-width: 1.4; }\n"
        ".error { stroke-dasharray: 6 4; } .undo { stroke-dasharray: 3 3; }\n"
        ".s-none { stroke-width: 1.3; } .cluster { stroke-width: 1; }\n"
        ".icon { fill: none; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }\n" + dashes
    )


def _rules(colours: tuple[str, ...], dark: int) -> str:
    ground, text, quiet, line, box, cluster, border = colours
    rules = (
        f".ground {{ fill: {ground}; }}\n"
        f".label, .title {{ fill: {text}; }} .note, .head, .caption, .edge-label {{ fill: {quiet}; }}\n"
        f".edge-label {{ stroke: {ground}; }}\n"
        f".line {{ stroke: {line}; }} .arrow, .join {{ fill: {line}; }}\n"
        f".s-none {{ fill: {box}; stroke: {line}; }} .cluster {{ fill: {cluster}; stroke: {border}; }}\n"
        f".icon {{ stroke: {text}; }}\n"
    )
    for state, given in STATES.items():
        fill, stroke = given[2 * dark : 2 * dark + 2]
        rules += f".{name(state)} {{ fill: {fill}; stroke: {stroke}; }}\n"
        rules += f".c-{name(state)[2:]} {{ stroke: {stroke}; }}\n"
        rules += f".i-{name(state)[2:]} {{ stroke: {stroke}; }}\n"
    return rules
