"""How a notebook shows a model.  Names out of models are data: escaped for the terminal, then for HTML, and cut."""

import html

from .errors import safe

MOST = 200  # characters of a name


def shown(name):
    text = safe(name)
    return text if len(text) <= MOST else f"{text[:MOST - 3]}..."


def ports_text(ports):
    return ", ".join(f"{shown(p.name)}: {p.dtype}[{', '.join(shown(str(d)) for d in p.shape)}]" for p in ports)


def bytes_text(n):
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= scale:
            return f"{n / scale:.3g} {unit}"
    return f"{n} bytes"


def row(*cells):
    return "<tr>" + "".join(f'<td style="text-align:left">{html.escape(shown(cell))}</td>' for cell in cells) + "</tr>"


def model_html(model, weights_bytes, sizes):
    """A table: inputs, outputs, symbols with their bounds, sizes.  sizes: those of the report, or None."""
    rows = [row(kind, p.name, str(p.dtype), f"[{', '.join(map(str, p.shape))}]")
            for kind, ports in (("input", model.inputs), ("output", model.outputs)) for p in ports]  # fmt: skip
    rows += [row("symbol", s.name, "", f"{s.lo} .. {s.hi}") for s in model.symbols]
    rows.append(row("size", "weights", "", bytes_text(weights_bytes)))
    if sizes is not None:
        rows += [row("size", "code", "", bytes_text(sizes["code_bytes"]))] if sizes["code_bytes"] else []
        rows.append(row("size", "workspace", "bytes", sizes["workspace"]))
    title = html.escape(f"dcc.Model {shown(model.name)}: {', '.join(model.targets)}")
    return f"<table><caption>{title}</caption>{''.join(rows)}</table>"
