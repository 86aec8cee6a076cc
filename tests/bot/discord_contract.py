"""Discord's own OpenAPI description, used to check what the stand-in server is sent and what it answers.

The description is not part of the project; without it `load()` returns None and nothing is checked.
Not covered: the gateway, which the description leaves out (its messages, users and channels are checked as in HTTP
answers), and rules that it has only as prose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

SPEC = Path(__file__).parents[2].parent / "shared" / "specs" / "discord-openapi.json"
HOME = "urn:discord"
LARGEST_SMALL_NUMBER = 2**40  # snowflakes are larger


class Contract:
    """Checks return sentences, one a breach; none means that all is as described."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._paths: Mapping[str, Any] = spec["paths"]
        self._registry: Registry[Any] = Registry().with_resource(
            HOME, Resource.from_contents(spec, default_specification=DRAFT202012)
        )
        self._patterns = [
            (path, re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)) + "$"))
            for path in sorted(self._paths, key=lambda path: path.count("{"))  # "@original" before "{message_id}"
        ]

    def request(self, method: str, path: str, query: Mapping[str, str], body: Any, content_type: str) -> list[str]:
        """What was sent. `body`: the JSON, or of a multipart form the JSON of its `payload_json`."""
        described = self._path(path)
        if described is None or method.lower() not in self._paths[described]:
            return [f"{method} {path}: no such call"]
        operation = self._paths[described][method.lower()]
        known = {
            parameter["name"]
            for parameter in operation.get("parameters", []) + self._paths[described].get("parameters", [])
            if parameter["in"] == "query"
        }
        breaches = [f"{method} {path}: no such parameter {name}" for name in query if name not in known]
        contents = operation.get("requestBody", {}).get("content", {})
        if body is None:
            return breaches
        if content_type not in contents:
            return [*breaches, f"{method} {path}: a body of {content_type or 'no type'} is not described"]
        media = "application/json" if "application/json" in contents else content_type
        pointer = ["paths", described, method.lower(), "requestBody", "content", media, "schema"]
        return breaches + self._check(pointer, _snowflakes_as_text(body), f"{method} {path}")

    def answer(self, method: str, path: str, status: int, body: Any) -> list[str]:
        """What was answered. `body`: None where there is none."""
        described = self._path(path)
        if described is None or method.lower() not in self._paths[described]:
            return [f"{method} {path}: no such call"]
        if status >= 500:
            return []
        responses = self._paths[described][method.lower()]["responses"]
        key = str(status) if str(status) in responses else f"{status // 100}XX"
        if key not in responses:
            return [f"{method} {path}: status {status} is not described"]
        response, pointer = responses[key], ["paths", described, method.lower(), "responses", key]
        if "$ref" in response:
            pointer = response["$ref"].removeprefix("#/").split("/")
            response = {"content": {"application/json": {}}}
        if "content" not in response:
            return [] if body is None else [f"{method} {path}: {status} has no body"]
        return self._check([*pointer, "content", "application/json", "schema"], body, f"answer to {method} {path}")

    def value(self, schema: str, value: Any) -> list[str]:
        """A value that should fit one of the described schemas, such as "MessageResponse"."""
        return self._check(["components", "schemas", schema], value, schema)

    def _path(self, path: str) -> str | None:
        return next((described for described, pattern in self._patterns if pattern.match(path)), None)

    def _check(self, pointer: list[str], value: Any, where: str) -> list[str]:
        parts = "/".join(
            part.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D") for part in pointer
        )
        schema = {"$ref": f"{HOME}#/{parts}"}
        validator = jsonschema.Draft202012Validator(schema, registry=self._registry)
        errors = [jsonschema.exceptions.best_match([error]) for error in validator.iter_errors(value)]
        return [
            f"{where}: {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in errors if error
        ]


@cache
def load() -> Contract | None:
    return Contract(json.loads(SPEC.read_text())) if SPEC.exists() else None


def _snowflakes_as_text(value: Any, key: str = "") -> Any:
    """discord.py sends some ids as numbers, which Discord takes."""
    if isinstance(value, dict):
        return {name: _snowflakes_as_text(one, f"{key}.{name}") for name, one in value.items()}
    if isinstance(value, list):
        return [_snowflakes_as_text(one, key) for one in value]
    an_id = type(value) is int and (value > LARGEST_SMALL_NUMBER or key.endswith("attachments.id"))
    return str(value) if an_id else value
