"""HTTP fields: names in any case, several values to a name, the order kept (RFC 9110 §5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from ..errors import EverwireError
from .secrets import hidden_field

__all__ = ["Headers", "HeadersLike", "MultipleValuesError"]


class MultipleValuesError(EverwireError, LookupError):
    """A field that one value was expected of has several.

    Attributes:
        headers: where it was looked for.
    """

    headers: Headers | None = None

    def __str__(self) -> str:
        return repr(self.args[0]) if len(self.args) == 1 else super().__str__()  # a field's name, as KeyError shows it


class Headers(MutableMapping[str, str]):
    """Fields of a request or response.

    ``headers[name]`` is the one value of a field; :meth:`get_all` returns all of them; setting *adds* a value, as a repeated
    field does on the wire. ``del`` removes all.
    """

    __slots__ = ("_values",)

    def __init__(self, fields: HeadersLike = (), /, **kwargs: str) -> None:
        self._values: dict[str, list[tuple[str, str]]] = {}
        self.update(fields, **kwargs)

    def __getitem__(self, key: str) -> str:
        values = self._values[key.lower()]
        if len(values) == 1:
            return values[0][1]
        error = MultipleValuesError(key)
        error.headers = self
        raise error

    def __setitem__(self, key: str, value: str) -> None:
        self._values.setdefault(key.lower(), []).append((key, value))

    def __delitem__(self, key: str) -> None:
        del self._values[key.lower()]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self._plain() == other._plain()

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return "".join(f"{key}: {value}\r\n" for key, value in self.raw_items()) + "\r\n"

    def __repr__(self) -> str:
        # Texts of objects end up in logs.
        return f"{type(self).__name__}({[(key, hidden_field(key, value)) for key, value in self.raw_items()]!r})"

    def serialize(self) -> bytes:
        """The fields as they go over the wire, and the empty line behind them."""
        return str(self).encode()

    def copy(self) -> Headers:
        """The same fields, to be changed apart."""
        copy = Headers()
        copy._values = {key: list(values) for key, values in self._values.items()}
        return copy

    def without(self, names: Iterable[str]) -> Headers:
        """The same fields but these; names in lower case."""
        copy = self.copy()
        for name in names:
            copy._values.pop(name, None)
        return copy

    def clear(self) -> None:
        """Remove every field."""
        self._values.clear()

    def update(self, fields: HeadersLike = (), /, **kwargs: str) -> None:  # type: ignore[override]
        """Add fields; those of :class:`Headers` with all their values."""
        for key, value in _items(fields):
            self[key] = value
        for key, value in kwargs.items():
            self[key] = value

    def get_all(self, key: str) -> list[str]:
        """Every value of a field, in order; empty if there is none."""
        return [value for _, value in self._values.get(key.lower(), [])]

    def raw_items(self) -> Iterator[tuple[str, str]]:
        """Every name and value, repeated fields repeated."""
        for values in self._values.values():
            yield from values

    def _plain(self) -> dict[str, list[str]]:
        return {key: [value for _, value in values] for key, values in self._values.items()}


HeadersLike = Headers | Mapping[str, str] | Iterable[tuple[str, str]]
"""What headers can be given as."""


def _items(fields: Any) -> Iterable[tuple[str, str]]:
    if isinstance(fields, Headers):
        return fields.raw_items()
    if isinstance(fields, Mapping):
        return fields.items()
    items: Iterable[tuple[str, str]] = fields
    return items
