"""Finding things by name, and turning them into plain dicts and back (Keras's serialised form).

One ``Registry`` for each kind of thing. Nothing is ever imported by a name found in a config: what is not in
a registry, in the ``custom_objects`` that the caller passes, or registered by the program, is refused.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_custom: ContextVar[Mapping[str, Any]] = ContextVar("custom_objects")
# What `register_keras_serializable` was told, by registered name; the program may change it.
_registered: dict[str, Any] = {}
_names: dict[Any, str] = {}


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


def get_custom_objects() -> dict[str, Any]:
    """Return the dict of registered classes and functions itself, which may be changed."""
    return _registered


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[Any], Any]:
    """Return a decorator after which configs can name a class or function of your own.

    Parameters
    ----------
    package : str
        It is registered as ``"package>name"``.
    name : str, optional
        By default the name of the class or function.
    """
    if not isinstance(package, str):
        raise TypeError(
            "register_keras_serializable is called before it decorates: "
            f"@register_keras_serializable(), got {package!r}."
        )

    def decorate(thing: Any) -> Any:
        if isinstance(thing, type) and not hasattr(thing, "get_config"):
            raise ValueError(f"{thing.__name__} cannot be registered: it has no get_config().")
        registered = f"{package}>{name or thing.__name__}"
        _registered[registered] = thing
        _names[thing] = registered
        return thing

    return decorate


def get_registered_name(obj: Any) -> str:
    """Return the name under which a class or function was registered, else its own."""
    return _names.get(obj) or obj.__name__


def get_registered_object(
    name: str,
    custom_objects: Mapping[str, Any] | None = None,
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """Return the class or function of this name; None where there is none.

    Looked up in the scopes of `custom_object_scope`, then among what is registered, then in
    ``custom_objects`` and ``module_objects``.
    """
    for objects in (_custom.get({}), _registered, custom_objects or {}, module_objects or {}):
        if name in objects:
            return objects[name]
    return None


_REGISTRIES: list["Registry"] = []


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
    bases : str
        Names, separated by blanks, of classes to derive from: they are found, but no message offers them.
    """

    def __init__(self, kind: str, module: str, entries: Mapping[str, Any], later: str = "", bases: str = ""):
        self.kind = kind
        self.module = module
        self.entries = dict(entries)
        _REGISTRIES.append(self)
        self.later = frozenset(later.split())
        self.bases = frozenset(bases.split())

    def __iter__(self):
        return iter(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __getitem__(self, name: str) -> Any:
        return self.entries[name]

    def _offered(self) -> dict[str, Any]:
        return {name: entry for name, entry in self.entries.items() if name not in self.bases}

    def listed(self) -> str:
        """Return the names for messages: one for each object, and no classes where there are functions."""
        first = {id(entry): name for name, entry in reversed(self._offered().items())}.values()
        return ", ".join(sorted([name for name in first if name.islower()] or first))

    def find(self, name: str, argument: str) -> Any:
        """Return the entry called ``name``, or raise a sentence that says what could have been meant."""
        found = _custom.get({}).get(name) or _registered.get(name) or self.entries.get(name)
        if found is not None:
            return found
        if name in self.later or name.lower() in self.later:
            raise NotImplementedError(
                f"{argument}={name!r}: this {self.kind} of Keras's is not in fastnn yet. There are: "
                f"{self.listed()}."
            )
        import difflib

        lower = {n.lower(): n for n in reversed(self._offered())}
        near = difflib.get_close_matches(name.lower(), lower, 1)
        hint = f" Did you mean {lower[near[0]]!r}?" if near else ""
        raise ValueError(
            f"{argument}={name!r}: there is no such {self.kind}.{hint} There are: {self.listed()}."
        )

    def make(self, identifier: Any, argument: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """Return the object that a name or a serialised config stands for; classes are instantiated."""
        with custom_object_scope(custom_objects):
            name, config = (identifier, {}) if isinstance(identifier, str) else parse(identifier, argument)
            if not isinstance(identifier, str) and identifier.get("registered_name") in _registered:
                name = identifier["registered_name"]
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
            "registered_name": None if known else get_registered_name(type(obj)),
        }
    if obj in _names:
        return {
            "module": obj.__module__,
            "class_name": "function",
            "config": obj.__name__,
            "registered_name": _names[obj],
        }
    name = obj.__name__
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}


def serialize_keras_object(obj: Any) -> Any:
    """Return Keras's serialised form of anything that a registry holds, or that has ``get_config``.

    Numbers, text, None and lists and dicts of them are returned as they are.
    """
    if obj is None or isinstance(obj, bool | int | float | str):
        return obj
    if isinstance(obj, list | tuple):
        return [serialize_keras_object(item) for item in obj]
    if isinstance(obj, Mapping):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    name = type(obj).__name__ if hasattr(obj, "get_config") else getattr(obj, "__name__", "")
    if not name:
        raise TypeError(f"{obj!r} of type {type(obj).__name__} cannot be serialised: it has no get_config().")
    for registry in _REGISTRIES:
        if registry.entries.get(name) in (obj, type(obj)):
            return serialize(obj, registry)
    return serialize(obj, _REGISTRIES[0])


def deserialize_keras_object(
    config: Any, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True
) -> Any:
    """Return the object of a serialised form, as `serialize_keras_object` makes it.

    Parameters
    ----------
    config : dict
        Its "module" says where the name is looked up.
    custom_objects : dict, optional
        Name -> class or function, for what is not of this package.
    safe_mode : bool
        Accepted for Keras's sake: no configuration is ever executed.

    Raises
    ------
    ValueError
        Where there is no such name.
    """
    if config is None or isinstance(config, bool | int | float | str):
        return config
    if isinstance(config, list | tuple):
        return [deserialize_keras_object(item, custom_objects) for item in config]
    if isinstance(config, Mapping) and "class_name" not in config:
        return {key: deserialize_keras_object(value, custom_objects) for key, value in config.items()}
    name, _ = parse(config, "config")
    module = config.get("module")
    found = [r for r in _REGISTRIES if name in r.entries]
    found = [r for r in found if r.module == module] or found or _REGISTRIES
    return found[0].make(config, "config", custom_objects)


class Configured:
    """Things that are made again from the dict that ``get_config`` returns."""

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict) -> Any:
        return cls(**config)
