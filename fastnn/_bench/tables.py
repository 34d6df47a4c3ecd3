"""Plain tables for the terminal."""


def table(title, rows):
    """Lines of a table whose columns are the keys of ``rows``, all of them dictionaries alike."""
    header = list(rows[0])
    cells = [header, *([text(row[column]) for column in header] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    lines = ["", title]
    for line in cells:
        lines.append("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]))
    return lines


def text(value):
    """Three digits that matter."""
    if not isinstance(value, float):
        return str(value)
    if value != value:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
