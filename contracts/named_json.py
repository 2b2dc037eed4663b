"""A typed value of ours as JSON in which every value is named: named tuples are objects, not arrays."""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import CoreSchema, SchemaSerializer, SchemaValidator, core_schema

from contracts.json_text import name_values

T = TypeVar("T")


class NamedJson(Generic[T]):
    """Writes and reads one type."""

    def __init__(self, of: type[T]) -> None:
        schema: Any = TypeAdapter(of).core_schema
        by_name: Any = _ByName(schema.get("definitions", ())).rewrite(schema)
        self._validator = SchemaValidator(by_name)
        self._serializer = SchemaSerializer(by_name)

    def write(self, value: T) -> bytes:
        """Write a value as JSON."""
        return self._serializer.to_json(value)

    def read(self, stored: str) -> T:
        """Read a value; raises ``ValueError`` where it is not of the type."""
        read: T = self._validator.validate_json(stored)
        return read

    @staticmethod
    def describe(error: Exception) -> str:
        """Describe why a value could not be read, in one line."""
        if not isinstance(error, ValidationError):
            return f"{type(error).__name__}: {error}"
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else first["msg"]


class _ByName:
    """Rewrites pydantic's description of a type so that named tuples are JSON objects instead of arrays.

    A budget has up to 2,000 lines, several times over. So a tuple of named tuples is turned as a whole, by functions
    that loop in C, which takes about as long as reading and writing arrays does.
    """

    def __init__(self, definitions: Iterable[Any]) -> None:
        self._definitions = {definition["ref"]: definition for definition in definitions}

    def rewrite(self, node: Any) -> Any:
        """Rewrite a description, or a part of one."""
        if isinstance(node, list):
            return [self.rewrite(part) for part in node]
        if not isinstance(node, dict):
            return node
        match node.get("type"):
            case "named-tuple":
                return self._read_one(node)
            case "tuple" if (row := self._find_row(node)) is not None:
                return self._read_rows(row)
        return {name: self.rewrite(part) for name, part in node.items()}

    def _find_row(self, node: dict[str, Any]) -> dict[str, Any] | None:
        if node.get("variadic_item_index") != 0 or len(node["items_schema"]) != 1:
            return None
        item: dict[str, Any] = node["items_schema"][0]
        if item["type"] == "definition-ref":
            item = self._definitions[item["schema_ref"]]
        return item if item["type"] == "named-tuple" else None

    def _read_one(self, node: dict[str, Any]) -> CoreSchema:
        make, described = node["cls"]._make, self._describe(node)
        return core_schema.no_info_after_validator_function(
            lambda read: make(read.values()),
            described,
            ref=node.get("ref"),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: value._asdict(), return_schema=described
            ),
        )

    def _read_rows(self, row: dict[str, Any]) -> CoreSchema:
        make, names = row["cls"]._make, row["cls"]._fields
        described = core_schema.list_schema(self._describe(row))
        return core_schema.no_info_after_validator_function(
            lambda read: tuple(map(make, map(dict.values, read))),
            described,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda rows: name_values(names, rows), return_schema=described
            ),
        )

    def _describe(self, node: dict[str, Any]) -> CoreSchema:
        """Describe a named tuple as a JSON object; its values are read in the order of its fields."""
        return core_schema.typed_dict_schema(
            {field["name"]: core_schema.typed_dict_field(self.rewrite(field["schema"])) for field in node["fields"]}
        )
