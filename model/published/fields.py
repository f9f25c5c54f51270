"""A published config.json read strictly: what it says must be there, and must be what this network computes."""

from typing import Any

from data.errors import AerieError

_MISSING = object()


class Fields:
    """One JSON object of a config; `where` names the file and the path to it in messages."""

    def __init__(self, document: Any, where: str, path: str = "") -> None:
        if not isinstance(document, dict):
            raise AerieError(f"{where}: {path.rstrip('.') or 'the file'} is not a JSON object")
        self.document, self.where, self.path = document, where, path

    def sub(self, name: str) -> "Fields":
        """A nested object."""
        return Fields(self._get(name), self.where, f"{self.path}{name}.")

    def number(self, name: str, default: int | None = None) -> int:
        """A whole number above zero."""
        value = self.document.get(name, default) if default is not None else self._get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise AerieError(f"{self.where}: {self.path}{name} is {value!r}, a number above zero was expected")
        return value

    def text(self, name: str) -> str:
        """A string."""
        value = self._get(name)
        if not isinstance(value, str):
            raise AerieError(f"{self.where}: {self.path}{name} is {value!r}, a text was expected")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """True or false; what the published config class takes when the field is absent."""
        value = self.document.get(name, default)
        if not isinstance(value, bool):
            raise AerieError(f"{self.where}: {self.path}{name} is {value!r}, true or false was expected")
        return value

    def optional(self, name: str, absent: Any) -> Any:
        """Any value, for settings that check it themselves; `absent` is what the published class takes for none."""
        return self.document.get(name, absent)

    def must_be(self, name: str, *allowed: Any, absent: Any = _MISSING) -> None:
        """`AerieError` unless the field has an allowed value; `absent` is what the published class takes for none."""
        value = self._get(name) if absent is _MISSING else self.document.get(name, absent)
        if value not in allowed:
            expected = " or ".join(repr(one) for one in allowed)
            raise AerieError(f"{self.where}: {self.path}{name} is {value!r}, but this network computes {expected} only")

    def _get(self, name: str) -> Any:
        if name not in self.document:
            raise AerieError(f"{self.where} has no field {self.path}{name}")
        return self.document[name]
