"""Line charts as SVG, readable on light and dark pages, with axes, units and a legend."""

from html import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 130, 50, 60
TICKS = 5
# Told apart by dashes as well as by colour; both colours of a pair have enough contrast on their page.
STROKES = (("#0b6bcb", "#6cb4ff", ""), ("#b3261e", "#ff8a80", "8 4"), ("#1b7f3b", "#6fdc8c", "2 4"),
           ("#8a4b00", "#ffb454", "12 4 2 4"), ("#5f6368", "#b5bac0", "4 4"))


def lines(title, x_label, y_label, series):
    """`series` maps a name to its points. Both axes start at zero, so that flat looks flat."""
    x_max = max(x for points in series.values() for x, _ in points) or 1
    y_max = rounded_up(max(y for points in series.values() for _, y in points))

    def place(x, y):
        return (LEFT + (WIDTH - LEFT - RIGHT) * x / x_max, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / y_max)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
             f"<title>{escape(title)}</title>", style(len(series)),
             text(WIDTH / 2, 26, title, "middle", "title"),
             text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, x_label, "middle"),
             f'<text transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
             f"{escape(y_label)}</text>"]
    for tick in range(TICKS + 1):
        x, bottom = place(x_max * tick / TICKS, 0)
        parts.append(text(x, bottom + 20, f"{x_max * tick / TICKS:,.0f}", "middle"))
        left, y = place(0, y_max * tick / TICKS)
        parts.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(text(left - 8, y + 4, f"{y_max * tick / TICKS:,.0f}", "end"))
    for index, (name, points) in enumerate(series.items()):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        y = TOP + 14 + 22 * index
        parts.append(f'<polyline class="s{index}" points="{path}"/>')
        parts.append(f'<line class="s{index}" x1="{WIDTH - RIGHT + 14}" y1="{y}" x2="{WIDTH - RIGHT + 44}" y2="{y}"/>')
        parts.append(text(WIDTH - RIGHT + 52, y + 4, name))
    return "\n".join(parts + ["</svg>", ""])


def text(x, y, content, anchor="start", role="label"):
    return f'<text class="{role}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def style(count):
    rules = ["text { font: 13px sans-serif; fill: #222 } .title { font-size: 16px }",
             "line, polyline { fill: none; stroke-width: 2 } .grid { stroke: #8888; stroke-width: .5 }"]
    dark = ["text { fill: #ddd }"]
    for index in range(count):
        light_stroke, dark_stroke, dashes = STROKES[index % len(STROKES)]
        rules.append(f".s{index} {{ stroke: {light_stroke}; stroke-dasharray: {dashes or 'none'} }}")
        dark.append(f".s{index} {{ stroke: {dark_stroke} }}")
    return f"<style>{' '.join(rules)} @media (prefers-color-scheme: dark) {{ {' '.join(dark)} }}</style>"


def rounded_up(value):
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = 1
    while power * 10 <= value:
        power *= 10
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= value)
