"""One sentence for every unknown name."""

from difflib import get_close_matches


def check_name(kind: str, name: str, known: tuple[str, ...]) -> None:
    """Raise ``ValueError`` if `name` is not one of `known`, saying which there are and which is nearest."""
    if name in known:
        return
    near = get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown {kind} {name!r}.{hint} There are: {', '.join(known)}")
