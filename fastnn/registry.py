"""Finding things by name, and turning them into plain dicts and back (Keras's serialised form).

One ``Registry`` for each kind of thing. Nothing is ever imported by a name found in a config: what is not in
a registry, or in the ``custom_objects`` that the caller passes, is refused.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_custom: ContextVar[Mapping[str, Any]] = ContextVar("custom_objects")


@contextmanager
def custom_object_scope(objects: Mapping[str, Any] | None) -> Iterator[None]:
    """Within this context, names in configs are looked up in ``objects`` first.

    Parameters
    ----------
    objects : dict or None
        Name -> class or function.
    """
    token = _custom.set({**_custom.get({}), **(objects or {})})
    try:
        yield
    finally:
        _custom.reset(token)


class Registry:
    """The names of one kind of thing.

    Parameters
    ----------
    kind : str
        The word for one of them in messages.
    module : str
        Keras's name of the module, which its serialised form states.
    entries : mapping
        Name -> class, function or instance. The first name of each object is the one listed in messages.
    later : str
        Names of Keras's that fastnn does not have yet, separated by blanks: they get another sentence than a
        typing error.
    """

    def __init__(self, kind: str, module: str, entries: Mapping[str, Any], later: str = ""):
        self.kind = kind
        self.module = module
        self.entries = dict(entries)
        self.later = frozenset(later.split())

    def __iter__(self):
        return iter(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __getitem__(self, name: str) -> Any:
        return self.entries[name]

    def listed(self) -> str:
        """Return the names for messages: one for each object, and no classes where there are functions."""
        first = {id(entry): name for name, entry in reversed(self.entries.items())}.values()
        return ", ".join(sorted([name for name in first if name.islower()] or first))

    def find(self, name: str, argument: str) -> Any:
        """Return the entry called ``name``, or raise a sentence that says what could have been meant."""
        found = _custom.get({}).get(name) or self.entries.get(name)
        if found is not None:
            return found
        if name in self.later or name.lower() in self.later:
            raise NotImplementedError(
                f"{argument}={name!r}: this {self.kind} of Keras's is not in fastnn yet. There are: "
                f"{self.listed()}."
            )
        import difflib

        lower = {n.lower(): n for n in reversed(self.entries)}
        near = difflib.get_close_matches(name.lower(), lower, 1)
        hint = f" Did you mean {lower[near[0]]!r}?" if near else ""
        raise ValueError(
            f"{argument}={name!r}: there is no such {self.kind}.{hint} There are: {self.listed()}."
        )

    def make(self, identifier: Any, argument: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """Return the object that a name or a serialised config stands for; classes are instantiated."""
        with custom_object_scope(custom_objects):
            name, config = (identifier, {}) if isinstance(identifier, str) else parse(identifier, argument)
            found: Any = self.find(name, argument)
            return found.from_config(config) if callable(getattr(found, "from_config", None)) else found


def parse(config: Any, argument: str) -> tuple[str, dict]:
    """Return (class name, config) of a serialised object."""
    name = config.get("class_name") if isinstance(config, Mapping) else None
    inner = config.get("config", {}) if isinstance(config, Mapping) else None
    if name == "function" and isinstance(inner, str):  # how Keras writes its own functions
        return inner, {}
    if not isinstance(name, str) or not isinstance(inner, Mapping):
        raise ValueError(
            f"{argument} is not a serialised object: it has no 'class_name' and 'config', but {config!r}."
        )
    return name, dict(inner)


def serialize(obj: Any, registry: Registry) -> Any:
    """Return Keras's serialised form of an object of ``registry``'s kind."""
    if obj is None or isinstance(obj, str):
        return obj
    if hasattr(obj, "get_config"):
        name = type(obj).__name__
        known = registry.entries.get(name) is type(obj)
        return {
            "module": registry.module if known else type(obj).__module__,
            "class_name": name,
            "config": obj.get_config(),
            "registered_name": None if known else name,
        }
    name = obj.__name__
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}


class Configured:
    """Things that are made again from the dict that ``get_config`` returns."""

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict) -> Any:
        return cls(**config)
