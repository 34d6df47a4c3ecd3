"""``docs/keras.md``: which of Keras 3's public names there are, from the package itself.

    python tests/keras_table.py            writes docs/keras.md
    python tests/keras_table.py --names    writes tests/keras_names.txt, where Keras is installed

A name that exists is done; the others are refused or later, for the reasons in ``fastnn/vocabulary.py``.
"""

import inspect
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ROOT / "tests" / "keras_names.txt"
PAGE = ROOT / "docs" / "keras.md"

# What an MLP's user meets; "" is `keras` itself. keras.ops is left out.
MODULES = (
    "",
    "models",
    "layers",
    "activations",
    "losses",
    "metrics",
    "optimizers",
    "optimizers.schedules",
    "callbacks",
    "initializers",
    "regularizers",
    "constraints",
    "utils",
    "config",
    "saving",
    "wrappers",
)
METHODS = "Sequential"  # a section of its own: methods and attributes of models


def keras_names() -> dict[str, list[str]]:
    """The list kept in tests/keras_names.txt."""
    found = {}
    for line in NAMES.read_text().splitlines():
        section, _, names = line.partition(":")
        found[section.strip()] = names.split()
    return found


def installed_names() -> dict[str, list[str]]:
    """The same from Keras itself."""
    import keras

    found = {}
    for module in MODULES:
        place = keras
        for part in filter(None, module.split(".")):
            place = getattr(place, part)
        found[module or "keras"] = sorted(name for name in dir(place) if _public(name))
    found[METHODS] = sorted(
        name
        for name in dir(keras.Sequential)
        if _public(name) and inspect.getattr_static(keras.Model, name, None) is not None
    )
    return found


def _public(name: str) -> bool:
    return not name.startswith("_") and name not in ("src", "version")


def place_of(section: str):
    """fastnn's counterpart of a section; None where there is none."""
    import fastnn

    if section == METHODS:
        return fastnn.Sequential()
    place = fastnn
    for part in section.split(".") if section != "keras" else ():
        place = getattr(place, part, None)
    return place


def status(section: str, name: str) -> tuple[str, str]:
    """("done", "refused" or "later", why)."""
    from fastnn import vocabulary

    known = vocabulary.reason("" if section == "keras" else section, name)
    if known is not None and known[0] == "refused":
        return known
    place = place_of(section)
    exists = hasattr(type(place), name) or name in vars(place) if section == METHODS else hasattr(place, name)
    if exists and not (known is not None and getattr(place, name).__doc__.endswith(f"{known[1]}.")):
        return "done", ""
    return known or ("later", "")


def render() -> str:
    """The text of docs/keras.md: what it says before the first table, and the tables."""
    out = [PAGE.read_text().partition("\n## `keras`\n")[0]]
    for section, names in keras_names().items():
        groups: dict[tuple[str, str], list[str]] = {}
        for name in names:
            groups.setdefault(status(section, name), []).append(name)
        title = "Models' methods and attributes" if section == METHODS else f"`{section}`"
        out.append(f"\n## {title}\n\n| | names |\n|---|---|\n")
        for kind in ("done", "refused", "later"):
            for (its, why), members in groups.items():
                if its == kind:
                    label = f"**{kind}**: {why}" if why else f"**{kind}**"
                    out.append(f"| {label} | {', '.join(f'`{name}`' for name in members)} |\n")
    return "".join(out)


if __name__ == "__main__":
    if "--names" in sys.argv:
        NAMES.write_text("".join(f"{s}: {' '.join(names)}\n" for s, names in installed_names().items()))
    else:
        PAGE.write_text(render())
