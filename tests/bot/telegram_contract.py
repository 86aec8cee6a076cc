"""Telegram's own description of its Bot API, used to check what the stand-in server is sent and what it answers.

The description is not part of the project; without it `load()` returns None and nothing is checked.
Not covered: what a method does, and rules that the description has only as prose (lengths, formats).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SPEC = Path(__file__).parents[2].parent / "shared" / "specs" / "telegram-bot-api.json"
ARRAY = "Array of "


@dataclass(frozen=True, slots=True)
class Upload:
    """A file part of a form."""

    name: str
    content: bytes


class Contract:
    """Checks return sentences, one a breach; none means that all is as described."""

    def __init__(self, methods: Mapping[str, Any], types: Mapping[str, Any]) -> None:
        self._methods = methods
        self._types = types

    def call(self, method: str, form: Mapping[str, str | Upload]) -> list[str]:
        """A method and the parameters it is sent. In a form, all but files is text; what is no text is JSON."""
        if method not in self._methods:
            return [f"{method}: no such method"]
        fields = {field["name"]: field for field in self._methods[method].get("fields", [])}
        breaches = [f"{method}: no such parameter {name}" for name in form if name not in fields]
        for name, field in fields.items():
            if name not in form:
                breaches += [f"{method}: {name} is missing"] if field["required"] else []
            elif not any(self._form_value_fits(type_name, form[name]) for type_name in field["types"]):
                breaches.append(f"{method}: {name} is {form[name]!r:.80}, not {' or '.join(field['types'])}")
        return breaches

    def answer(self, method: str, result: Any) -> list[str]:
        """The `result` of an answer to a method."""
        return self._any_of(self._methods[method]["returns"], result, f"answer of {method}")

    def value(self, type_name: str, value: Any, where: str = "") -> list[str]:
        """A JSON value that should be of a type such as "Integer", "Array of String" or "Update"."""
        where = where or type_name
        if type_name.startswith(ARRAY):
            if not isinstance(value, list):
                return [f"{where} is no array"]
            inner = type_name.removeprefix(ARRAY)
            return [breach for n, item in enumerate(value) for breach in self.value(inner, item, f"{where}[{n}]")]
        if type_name in _SCALARS:
            fits = isinstance(value, _SCALARS[type_name]) and (
                isinstance(value, bool) == (type_name in ("Boolean", "True"))
            )
            return [] if fits else [f"{where} is {value!r:.80}, not {type_name}"]
        described = self._types[type_name]
        if "subtypes" in described:
            return self._any_of(described["subtypes"], value, where)
        if not isinstance(value, dict):
            return [f"{where} is no {type_name}"]
        fields = {field["name"]: field for field in described.get("fields", [])}
        breaches = [f"{where}: {type_name} has no {name}" for name in value if name not in fields]
        for name, field in fields.items():
            if name in value:
                breaches += self._any_of(field["types"], value[name], f"{where}.{name}")
            elif field["required"]:
                breaches.append(f"{where}: {name} is missing")
        return breaches

    def _any_of(self, type_names: Sequence[str], value: Any, where: str) -> list[str]:
        """The breaches against the type that fits best."""
        return min((self.value(type_name, value, where) for type_name in type_names), key=len)

    def _form_value_fits(self, type_name: str, value: str | Upload) -> bool:
        if isinstance(value, Upload) or type_name == "InputFile":
            return isinstance(value, Upload) and type_name == "InputFile"
        if type_name == "String":
            return True
        try:
            return not self.value(type_name, json.loads(value))
        except json.JSONDecodeError:
            return False


_SCALARS: dict[str, type | tuple[type, ...]] = {
    "Integer": int,
    "Float": (int, float),
    "String": str,
    "Boolean": bool,
    "True": bool,
}


@cache
def load() -> Contract | None:
    if not SPEC.exists():
        return None
    described = json.loads(SPEC.read_text())
    return Contract(described["methods"], described["types"])
