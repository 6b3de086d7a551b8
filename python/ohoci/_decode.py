"""JSON documents as dataclasses."""

from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from typing import Any, Dict, List, Literal, Tuple, Type, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


@lru_cache(maxsize=None)
def _fields(kind: type) -> List[Tuple[str, str, Any, bool]]:
    """The fields of a class: their names, their names in JSON, types, and whether they may be absent."""
    hints = get_type_hints(kind)
    return [
        (
            field.name,
            field.metadata.get("name", field.name),
            hints[field.name],
            field.default is not MISSING or field.default_factory is not MISSING,
        )
        for field in fields(kind)
    ]


def decode(kind: Type[T], value: Any, path: str = "the document") -> T:
    """The value as an object of this class. Fields that the class does not know are left out: a newer
    command may say more. Raises ``ValueError`` where one is missing or of another type.
    """
    decoded: T = _decode(kind, value, path)
    return decoded


def _decode(kind: Any, value: Any, path: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin is Union:
        if value is None:
            return None
        (inner,) = [argument for argument in get_args(kind) if argument is not type(None)]
        return _decode(inner, value, path)
    if origin is list:
        (inner,) = get_args(kind)
        if not isinstance(value, list):
            raise ValueError(f"{path} is no list")
        return [_decode(inner, item, f"{path}[{at}]") for at, item in enumerate(value)]
    if origin is tuple:
        inners = get_args(kind)
        if not isinstance(value, list) or len(value) != len(inners):
            raise ValueError(f"{path} is no list of {len(inners)}")
        pairs = enumerate(zip(inners, value))
        return tuple(_decode(inner, item, f"{path}[{at}]") for at, (inner, item) in pairs)
    if origin is dict:
        _, inner = get_args(kind)
        if not isinstance(value, dict):
            raise ValueError(f"{path} is no object")
        return {key: _decode(inner, item, f"{path}.{key}") for key, item in value.items()}
    if origin is Literal:
        # A newer command may have more words.
        if not isinstance(value, str):
            raise ValueError(f"{path} is no text")
        return value
    if is_dataclass(kind):
        return _object(kind, value, path)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{path} is of another type than {kind.__name__}")
    return value


def _object(kind: Any, value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{path} is no object")
    arguments: Dict[str, Any] = {}
    for name, key, inner, may_be_absent in _fields(kind):
        if key in value:
            arguments[name] = _decode(inner, value[key], f"{path}.{key}")
        elif not may_be_absent:
            raise ValueError(f"{path} has no {key}")
    return kind(**arguments)
