"""What determines a result, in words: the code, data and settings behind a key of the cache.

Code is read from what Python runs, not from files: comments, docstrings, line numbers and places do not count, and a class
edited in a notebook's cell does. Libraries count by name and version.
"""

import dis
import enum
import functools
import hashlib
import importlib
import importlib.util
import json
import sys
import sysconfig
import types
import warnings
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mia_helpers.data import ImageSet

PLAIN = (bool, int, float, str, type(None))
OWN = "mia_helpers"  # counts as code that may change, wherever it is installed
SILENT = {"tqdm", "mia_helpers.progress"}  # show progress, and take no part in results
PLACES = {"__file__", "__path__", "__spec__", "__loader__", "__cached__"}  # where a module lies on this machine
GLOBAL, ATTRIBUTE = {"LOAD_GLOBAL", "LOAD_NAME"}, {"LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"}
OF_CLASSES = {
    "__doc__",
    "__module__",
    "__qualname__",
    "__dict__",
    "__weakref__",
    "__annotations__",
    "__annotate_func__",
    "__annotations_cache__",
    "__firstlineno__",
    "__static_attributes__",
    "_abc_impl",
    "__dataclass_fields__",
    "__dataclass_params__",
    "__parameters__",
}
OF_MODULES = set(vars(nn.Module()))


class Undescribable(TypeError):  # noqa: N818 (says what is wrong)
    """A value that takes part in a result, but whose content cannot be told."""


def describe(value: object, name: str = "value") -> list:
    """JSON-able stand-in that differs whenever the value would act differently, the same in every process.

    Plain values, containers, arrays, tensors and image sets by content; functions by their code, defaults, closures, and the
    globals of user code that they mention; objects by their class and state; modules with all their weights.

    Args:
        value: anything. name: what an error calls it.

    Raises:
        Undescribable: something that takes part hides its content (a lock, a file, a generator).
    """
    describer = _Describer()
    return [describer(value, name), describer.rest()]


def key_of(model: Callable[[], nn.Module] | None = None, **parts: object) -> dict | None:
    """{name: description}, or None, with a UserWarning, if a part cannot be described, so that nothing can be kept.

    Args:
        model: makes the network that is to be described, called here because it may be what cannot be described.
    """
    try:
        parts |= {} if model is None else {"model": model()}
        return {name: describe(value, name) for name, value in parts.items()}
    except Undescribable as error:
        warnings.warn(f"not kept in the cache, and made again by each call: {error}", stacklevel=4)
        return None


def digest(value: object) -> str:
    """A sha256 of `describe(value)`. Raises: Undescribable."""
    return hashlib.sha256(json.dumps(describe(value)).encode()).hexdigest()


class _Describer:
    """One description. Whatever has an identity is told once, in a table, and referred to by its number."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.waiting: deque = deque()
        self.alive: list = []  # an id stands for an object only while the object lives

    def rest(self) -> list:
        """The table: what has been referred to, in order."""
        table = []
        while self.waiting:
            table.append(self._tell(*self.waiting.popleft()))
        return table

    def __call__(self, value: Any, where: str) -> object:
        if isinstance(value, np.generic):
            value = value.item()
        if type(value) in PLAIN:
            return value
        if type(value) is tuple:
            return {"tuple": self._list(value, where)}
        if type(value) in (set, frozenset):
            return {"set": sorted(json.dumps(describe(item, where)) for item in value)}
        if type(value) is slice or type(value) in (bytes, bytearray, complex, range):
            return {type(value).__name__: repr(value)}
        if isinstance(value, np.ndarray) and value.dtype != object:
            return {"array": [str(value.dtype), list(value.shape), _hashed(value)]}
        if isinstance(value, types.CodeType):
            return self._code(value, where)
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.numbers)
            self.alive.append(value)
            self.waiting.append((value, where))
        return {"number": self.numbers[id(value)]}

    def _tell(self, value: Any, where: str) -> object:
        if name := _library_name(value):
            return {"library": name}
        kinds: tuple[tuple[type, Callable[[Any, str], object]], ...] = (
            (dict, self._dict),
            (list, self._list),
            (Tensor, self._tensor),
            (ImageSet, self._image_set),
            (type, self._class),
            (nn.Module, self._network),
            (types.FunctionType, self._function),
            (functools.partial, self._partial),
            (types.MethodType, self._method),
            (types.BuiltinFunctionType, self._builtin),
            (property, self._property),
        )
        for kind, tell in kinds:
            if isinstance(value, kind):
                return {kind.__name__: tell(value, where)}
        if isinstance(value, staticmethod | classmethod):
            return {type(value).__name__: self(value.__func__, where)}
        if isinstance(value, weakref.ReferenceType):
            return {"weak": self(value(), where)}
        if isinstance(value, types.ModuleType):
            return {"python module": value.__name__}
        if isinstance(
            value,
            types.GetSetDescriptorType
            | types.MemberDescriptorType
            | types.MethodDescriptorType
            | types.WrapperDescriptorType
            | types.ClassMethodDescriptorType,
        ):
            return {"slot": value.__name__}
        if callable(inner := getattr(value, "__wrapped__", None)):  # functools.cache
            return {"wrapped": [self(inner, where), type(value).__name__]}
        return self._object(value, where)

    def _named(self, values: dict, where: str) -> dict:
        return {str(name): self(value, f"{where}.{name}") for name, value in sorted(values.items(), key=lambda x: str(x[0]))}

    def _list(self, value: list | tuple, where: str) -> list:
        return [self(item, f"{where}[{i}]") for i, item in enumerate(value)]

    def _dict(self, value: dict, where: str) -> list:
        items = [[self(key, where), self(item, f"{where}[{key!r}]")] for key, item in value.items()]
        return (
            items
            if type(value) is dict
            else [self(type(value), where), items, self._named(getattr(value, "__dict__", {}), where)]
        )

    def _tensor(self, value: Tensor, where: str) -> list:
        try:
            content = _hashed(
                value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).numpy()
            )
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            raise _undescribable(where, value) from error
        return [str(value.dtype), list(value.shape), content]

    def _image_set(self, value: ImageSet, where: str) -> list:
        return [self(value.images, where), self(value.labels, where)]

    def _class(self, value: type, where: str) -> list:
        told: list[str | list] = []
        for cls in value.__mro__:
            if name := _library_name(cls) or (cls.__module__ if _library(cls.__module__) else None):
                told.append(name)
            else:
                body = {name: item for name, item in vars(cls).items() if name not in OF_CLASSES}
                told.append([cls.__name__, self._named(body, cls.__name__)])
        return told

    def _network(self, value: nn.Module, where: str) -> dict:
        where = type(value).__name__ if where == "value" else where
        hooks = {
            name: list(hook.values())
            for name, hook in vars(value).items()
            if name in OF_MODULES and "hook" in name and isinstance(hook, dict) and hook
        }
        own = {name: item for name, item in vars(value).items() if name not in OF_MODULES}
        return {
            "class": self(type(value), where),
            "attributes": self._named(own, where),
            "hooks": self._named(hooks, where),
            "training": value.training,
            "transient": sorted(value._non_persistent_buffers_set),
            "parameters": [
                [name, None if p is None else [p.requires_grad, self(p, f"{where}.{name}")]]
                for name, p in value._parameters.items()
            ],
            "buffers": [[name, self(b, f"{where}.{name}")] for name, b in value._buffers.items()],
            "layers": [[name, self(layer, f"{where}.{name}")] for name, layer in value._modules.items()],
        }

    def _function(self, f: types.FunctionType, where: str) -> dict:
        return {
            "code": self._code(f.__code__, where),
            "defaults": self(f.__defaults__, f"{where}'s defaults"),
            "keywords": self._named(f.__kwdefaults__ or {}, where),
            "closure": self._closure(f, where),
            "globals": self._globals(f, where),
            "attributes": self._named(vars(f), where),
        }

    def _closure(self, f: types.FunctionType, where: str) -> dict:
        cells = {}
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
            try:
                cells[name] = self(cell.cell_contents, f"{name} of {where}")
            except ValueError:  # not yet filled
                cells[name] = "empty"
        return cells

    def _globals(self, f: types.FunctionType, where: str) -> dict:
        """What the function's code takes from its module, from modules of user code, and from imports inside."""
        names, attributes, imports = _names(f.__code__)
        found = {name: f.__globals__[name] for name in names if _counts(name, f.__globals__)}
        found |= {f"import {name}": module for name in imports if (module := _user_module(name)) is not None}
        while modules := {k: v for k, v in found.items() if isinstance(v, types.ModuleType) and not _library(v.__name__)}:
            for name, module in modules.items():
                del found[name]
                if name.count(".") < 5:  # modules may hold each other
                    found |= {f"{name}.{part}": vars(module)[part] for part in attributes if _counts(part, vars(module))}
        return self._named(found, where)

    def _code(self, code: types.CodeType, where: str) -> dict:
        n = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
        return {
            "arguments": [
                code.co_argcount,
                code.co_posonlyargcount,
                code.co_kwonlyargcount,
                code.co_flags & 0x2AC,
                list(code.co_varnames[:n]),
            ],
            "steps": [[name, self(arg, where)] for name, arg in _steps(code)],
            "tries": code.co_exceptiontable.hex(),
        }

    def _partial(self, value: functools.partial, where: str) -> list:
        return [self(value.func, where), self(value.args, where), self._named(value.keywords, where)]

    def _method(self, value: types.MethodType, where: str) -> list:
        return [self(value.__func__, where), self(value.__self__, where)]

    def _builtin(self, value: types.BuiltinFunctionType, where: str) -> list:
        owner = value.__self__
        named = isinstance(owner, types.ModuleType | type | None)
        owner = getattr(owner, "__name__", None) if named else self(owner, where)
        return [value.__module__, value.__qualname__, owner]

    def _property(self, value: property, where: str) -> list:
        return [self(f, where) for f in (value.fget, value.fset, value.fdel)]

    def _object(self, value: object, where: str) -> list:
        if isinstance(value, enum.Enum):
            return [self(type(value), where), value.name]
        try:
            parts = value.__reduce_ex__(4)  # how to make it again: told here, never run and never written
        except Exception as error:
            raise _undescribable(where, value) from error
        if isinstance(parts, str):
            return [self(type(value), where), parts]
        make, args, state, *items = (*parts, None)[:5]
        self.alive.append(parts)
        state = self._named(state, where) if type(state) is dict else self(state, where)
        return [
            self(type(value), where),
            self(make, where),
            self(args, where),
            state,
            [None if item is None else self(list(item), where) for item in items],
        ]


def _undescribable(where: str, value: object) -> Undescribable:
    return Undescribable(
        f"{where} is a {type(value).__module__}.{type(value).__qualname__}, whose content cannot be told; "
        "make it inside the function that uses it, or pass plain values, arrays and functions instead"
    )


def _hashed(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data.cast("B") if array.size else b"").hexdigest()


@functools.lru_cache(4096)
def _steps(code: types.CodeType) -> tuple:
    """(instruction, argument by value, not by position), so that a docstring among the constants moves nothing."""
    steps: list[tuple] = []
    before = None
    for step in dis.get_instructions(code):
        if step.opname == "STORE_NAME" and step.argval in ("__doc__", "__qualname__", "__firstlineno__"):
            steps.pop()  # in the body of a class inside a function: what was loaded for it
            continue
        value = step.argval
        readable = type(value) in PLAIN or type(value) is tuple and all(type(v) in PLAIN for v in value)
        steps.append((step.opname, value if step.opcode in dis.hasconst or readable else step.arg))
        before = step
    return tuple(steps) if before else ()


@functools.lru_cache(4096)
def _names(code: types.CodeType) -> tuple[list[str], list[str], list[str]]:
    """Globals, attributes and imported modules that the code mentions, functions inside it included; sorted."""
    found = globals_, attributes, imports = set[str](), set[str](), set[str]()
    for name, argument in _steps(code):
        for kind, names in zip((GLOBAL, ATTRIBUTE, {"IMPORT_NAME"}), found):
            if name in kind:
                names.add(argument)
        if isinstance(argument, types.CodeType):
            for names, more in zip(found, _names(argument)):
                names.update(more)
    return sorted(globals_), sorted(attributes), sorted(imports)


def _counts(name: str, module: dict[str, Any]) -> bool:
    """Whether `name` is among a module's globals, and not the place of our own files: copies of the package act alike."""
    own = str(module.get("__name__")).partition(".")[0] == OWN
    return name in module and not (own and name in PLACES)


def _library(module: str | None) -> str | None:
    """Name and version of the library that a module belongs to; None for user code."""
    top = (module or "__main__").partition(".")[0]
    if top in SILENT or module in SILENT:
        return "tqdm"
    if top in ("__main__", OWN):
        return None
    loaded = sys.modules.get(top)
    if loaded is None:
        return None
    version = str(getattr(loaded, "__version__", ""))
    if top in ("torch", "numpy"):  # also where they are developed
        return f"{top} {version}"
    file = getattr(loaded, "__file__", None) or next(iter(getattr(loaded, "__path__", ())), None)
    if file is None:
        return f"python {sys.version_info[:2]}" if top in sys.stdlib_module_names else None
    if {"site-packages", "dist-packages"} & set(Path(file).parts):
        return f"{top} {version}"
    standard = Path(file).is_relative_to(sysconfig.get_path("stdlib"))
    return f"python {sys.version_info[:2]}" if standard else None


def _library_name(value: object) -> str | None:
    """Full name and version of a function, class or module that a library offers under this name; else None."""
    if isinstance(value, types.ModuleType):
        library = _library(value.__name__)
        return library and (library if library in SILENT else f"{value.__name__} of {library}")
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or (library := _library(module)) is None:
        return None
    if library in SILENT:
        return library
    found = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}.{name} of {library}" if found is value else None


def _user_module(name: str) -> types.ModuleType | None:
    """The module of user code that `import name` inside a function gives; None for libraries."""
    top = name.partition(".")[0]
    try:
        if top not in sys.modules:
            spec = importlib.util.find_spec(top)
            origin = Path((spec and spec.origin) or "site-packages")
            if {"site-packages", "dist-packages"} & set(origin.parts) or top in sys.stdlib_module_names:
                return None
        elif _library(top):
            return None
        return importlib.import_module(name)
    except Exception:  # it would fail there, too, or is relative
        return None
