"""YAML text of Sigma rules: splitting streams, loading one document safely, finding the line of a path.

Owns every limit on the text (size, depth, number of values). Refuses to know what a rule means.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from shared.errors import SIGMA_INVALID, AuroraError

# The largest rule of SigmaHQ has 295 kB (a list of file names); deeper than 8 levels none goes.
MAX_CHARACTERS = 1024 * 1024
MAX_DEPTH = 32

# A document marker is one at the first column only: YAML forbids it there inside any scalar, block or quoted.
_MARKER = re.compile(r"(---|\.\.\.)(\s|$)")

# What PyYAML's constructors raise on scalars that don't fit their tag, beside YAMLError.
MALFORMED = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


class _Loader(yaml.CSafeLoader):
    """The safe loader, but a key that is there twice is a mistake and not an override."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in keys:
                raise yaml.MarkedYAMLError(problem=f"duplicate key '{key}'", problem_mark=key_node.start_mark)
            keys.add(key)
        return super().construct_mapping(node, deep)

    def construct_exact_int(self, node: yaml.ScalarNode) -> int | str:
        """An integer, or its text where pySigma would round it to a float (a 64-bit id, for instance)."""
        number: int = self.construct_yaml_int(node)
        return number if int(float(number)) == number else str(number)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_exact_int)


def invalid(message: str, *, line: int | None = None, path: str | None = None) -> AuroraError:
    """AURORA-4222 with one place; `line` counts from 1 within the document."""
    return AuroraError(SIGMA_INVALID, [problem(message, line=line, path=path)])


def problem(message: str, *, line: int | None = None, path: str | None = None) -> dict[str, Any]:
    """One entry of the detail of AURORA-4222."""
    return {"message": message[:500], "line": line, "path": path}


def split_documents(yaml_text: str) -> list[tuple[int, str]]:
    """The documents of a YAML stream with the number (from 1) of their first line; empty ones are left out.

    Works on lines, not with a YAML parser, so that one broken document never hides the ones after it.
    """
    documents: list[tuple[int, str]] = []
    first, lines = 1, list[str]()
    for number, line in enumerate(yaml_text.removeprefix("\ufeff").split("\n"), start=1):
        if _MARKER.match(line):
            _keep(documents, first, lines)
            # The marker stays in its document, blanked, so that columns and lines still fit.
            first, lines = number, ["   " + line[3:]]
        else:
            lines.append(line)
    _keep(documents, first, lines)
    return documents


def _keep(documents: list[tuple[int, str]], first: int, lines: list[str]) -> None:
    if any(line.strip() and not line.lstrip().startswith("#") and not line.startswith("%") for line in lines):
        documents.append((first, "\n".join(lines)))


def load_document(yaml_text: str) -> dict[str, Any]:
    """The one mapping in `yaml_text`; AURORA-4222 names the line where it isn't YAML, or not one mapping."""
    if len(yaml_text) > MAX_CHARACTERS:
        raise invalid(f"a rule may have at most {MAX_CHARACTERS} characters")
    try:
        _check_shape(yaml_text)
        document = yaml.load(yaml_text, _Loader)  # noqa: S506 -- derived from CSafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise invalid(f"not YAML: {error.problem or error.context}", line=mark.line + 1 if mark else None) from error
    except yaml.YAMLError as error:
        raise invalid(f"not YAML: {error}") from error
    except MALFORMED as error:
        raise invalid("not YAML: a value doesn't fit its type") from error
    if not isinstance(document, dict):
        raise invalid("a Sigma rule is a mapping", line=1)
    return document


def _check_shape(yaml_text: str) -> None:
    """Refuse deep nesting before anything recurses: libyaml's composer would overrun the stack of the process."""
    depth = documents = 0
    for event in yaml.parse(yaml_text, yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise invalid(f"nested deeper than {MAX_DEPTH} levels", line=_line(event))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise invalid("more than one YAML document", line=_line(event))


def _line(event: yaml.Event) -> int | None:
    return event.start_mark.line + 1 if event.start_mark else None


def line_of(yaml_text: str, path: tuple[str, ...]) -> int | None:
    """The line (from 1) of the deepest part of `path` that the document has."""
    node = yaml.compose(yaml_text, yaml.CSafeLoader)
    line: int | None = None
    for name in path:
        found = _child(node, name)
        if found is None:
            break
        line, node = found
    return line


def _child(node: yaml.Node | None, name: str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == name:
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and name.isdigit() and int(name) < len(node.value):
        item = node.value[int(name)]
        return item.start_mark.line + 1, item
    return None
