"""What the conformance suite asks a server for, by the names and with the texts that the suite fixes."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from mcp.server import ServerRequestContext
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ElicitResult,
    EmbeddedResource,
    GetPromptResult,
    ImageContent,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)

Context = ServerRequestContext[Any, Any]
Run = Callable[[Context, dict[str, Any]], Awaitable[CallToolResult]]
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
_WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
#: The suite wants its client to see several messages arrive one after the other.
_PAUSE_SECONDS = 0.05
_ABSENCE_SECONDS = 0.2


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _image() -> ImageContent:
    return ImageContent(type="image", data=_PNG, mime_type="image/png")


def _embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    contents = TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return EmbeddedResource(type="resource", resource=contents)


def _always(*content: Any, is_error: bool = False) -> Run:
    async def run(_context: Context, _arguments: dict[str, Any]) -> CallToolResult:
        return CallToolResult(content=list(content), is_error=is_error)

    return run


async def _log(context: Context, text: str) -> None:
    await context.session.send_log_message("info", text, related_request_id=context.request_id)


async def _with_logging(context: Context, _arguments: dict[str, Any]) -> CallToolResult:
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await _log(context, text)
        await anyio.sleep(_PAUSE_SECONDS)
    return CallToolResult(content=[_text("Tool with logging executed successfully")])


async def _with_progress(context: Context, _arguments: dict[str, Any]) -> CallToolResult:
    for done in (0, 50, 100):
        await context.session.report_progress(done, 100)
        await anyio.sleep(_PAUSE_SECONDS)
    return CallToolResult(content=[_text("Tool with progress executed successfully")])


async def _sampling(context: Context, arguments: dict[str, Any]) -> CallToolResult:
    message = SamplingMessage(role="user", content=_text(arguments["prompt"]))
    result: Any = await context.session.create_message([message], max_tokens=100, related_request_id=context.request_id)
    return CallToolResult(content=[_text(f"LLM response: {result.content.text}")])


async def _asked(context: Context, message: str, schema: dict[str, Any]) -> str:
    result: ElicitResult = await context.session.elicit_form(message, schema, related_request_id=context.request_id)
    return f"action={result.action}, content={json.dumps(result.content)}"


async def _elicitation(context: Context, arguments: dict[str, Any]) -> CallToolResult:
    fields = {name: {"type": "string", "description": name} for name in ("username", "email")}
    schema = {"type": "object", "properties": fields, "required": ["username", "email"]}
    return CallToolResult(content=[_text(f"User response: {await _asked(context, arguments['message'], schema)}")])


def _form(properties: dict[str, Any]) -> Run:
    async def run(context: Context, _arguments: dict[str, Any]) -> CallToolResult:
        told = await _asked(context, "Please fill this in", {"type": "object", "properties": properties})
        return CallToolResult(content=[_text(f"Elicitation completed: {told}")])

    return run


async def _reconnection(context: Context, _arguments: dict[str, Any]) -> CallToolResult:
    await _log(context, "Before disconnect")
    if context.close_sse_stream is not None:
        await context.close_sse_stream()
    await anyio.sleep(_ABSENCE_SECONDS)
    await _log(context, "After reconnect")
    return CallToolResult(content=[_text("Reconnection test completed")])


_DEFAULTS = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
_TITLED = [{"const": f"value{number}", "title": f"Choice {number}"} for number in (1, 2, 3)]
_NAMES = ["option1", "option2", "option3"]
_ENUMS = {
    "untitledSingle": {"type": "string", "enum": _NAMES},
    "titledSingle": {"type": "string", "oneOf": _TITLED},
    "legacyEnum": {"type": "string", "enum": _NAMES, "enumNames": ["Option One", "Option Two", "Option Three"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _NAMES}},
    "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
}
_MIXED = _embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
_ADDRESS = {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
SCHEMAS: dict[str, dict[str, Any]] = {
    "test_sampling": {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]},
    "test_elicitation": {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]},
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": _ADDRESS},
        "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
        "additionalProperties": False,
    },
}
TOOLS: dict[str, Run] = {
    "test_simple_text": _always(_text("This is a simple text response for testing.")),
    "test_image_content": _always(_image()),
    "test_audio_content": _always(AudioContent(type="audio", data=_WAV, mime_type="audio/wav")),
    "test_embedded_resource": _always(
        _embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ),
    "test_multiple_content_types": _always(_text("Multiple content types test:"), _image(), _MIXED),
    "test_error_handling": _always(_text("This tool intentionally returns an error for testing"), is_error=True),
    "test_tool_with_logging": _with_logging,
    "test_tool_with_progress": _with_progress,
    "test_sampling": _sampling,
    "test_elicitation": _elicitation,
    "test_elicitation_sep1034_defaults": _form(_DEFAULTS),
    "test_elicitation_sep1330_enums": _form(_ENUMS),
    "test_reconnection": _reconnection,
    "json_schema_2020_12_tool": _always(_text("The schema is what is looked at.")),
}

RESOURCES = [
    Resource(uri="test://static-text", name="static-text", mime_type="text/plain"),
    Resource(uri="test://static-binary", name="static-binary", mime_type="image/png"),
    Resource(uri="test://watched-resource", name="watched-resource", mime_type="text/plain"),
]
TEMPLATES = [ResourceTemplate(uri_template="test://template/{id}/data", name="template", mime_type="application/json")]


def read(uri: str) -> ReadResourceResult:
    """The contents of a resource. Raises KeyError for one that there isn't."""
    contents: TextResourceContents | BlobResourceContents
    if match := re.fullmatch(r"test://template/([^/]+)/data", uri):
        told = {"id": match[1], "templateTest": True, "data": f"Data for ID: {match[1]}"}
        contents = TextResourceContents(uri=uri, mime_type="application/json", text=json.dumps(told))
    elif uri == "test://static-binary":
        contents = BlobResourceContents(uri=uri, mime_type="image/png", blob=_PNG)
    else:
        texts = {
            "test://static-text": "This is the content of the static text resource.",
            "test://watched-resource": "Watched resource content",
        }
        contents = TextResourceContents(uri=uri, mime_type="text/plain", text=texts[uri])
    return ReadResourceResult(contents=[contents])


def _argument(name: str) -> PromptArgument:
    return PromptArgument(name=name, description=name, required=True)


PROMPTS = [
    Prompt(name="test_simple_prompt", description="No arguments"),
    Prompt(
        name="test_prompt_with_arguments", description="Two of them", arguments=[_argument("arg1"), _argument("arg2")]
    ),
    Prompt(
        name="test_prompt_with_embedded_resource",
        description="A resource within",
        arguments=[_argument("resourceUri")],
    ),
    Prompt(name="test_prompt_with_image", description="An image"),
]


def prompt(name: str, arguments: dict[str, str]) -> GetPromptResult:
    """The messages of a prompt. Raises KeyError for one that there isn't, or without its arguments."""
    contents: list[Any]
    match name:
        case "test_simple_prompt":
            contents = [_text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            contents = [_text(f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'")]
        case "test_prompt_with_embedded_resource":
            embedded = _embedded(arguments["resourceUri"], "text/plain", "Embedded resource content for testing.")
            contents = [embedded, _text("Please process the embedded resource above.")]
        case "test_prompt_with_image":
            contents = [_image(), _text("Please analyze the image above.")]
        case _:
            raise KeyError(name)
    return GetPromptResult(messages=[PromptMessage(role="user", content=content) for content in contents])
