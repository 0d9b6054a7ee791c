"""Named lists of values that rules refer to as `%name%` (Sigma modifiers appendix 2.1, `expand`)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import SIEM_READ, SIEM_WRITE, Endpoint, Topic
from shared.errors import NOT_FOUND, VALIDATION

MAX_VALUES = 10_000


class PlaceholderUpdate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The whole list. In a value `*`, `?` and `\\` mean what they do in a rule; `reason` is noted with the version."""

    values: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=1024)]], Meta(min_length=1, max_length=MAX_VALUES)
    ]
    description: Annotated[str, Meta(max_length=1024)] = ""
    reason: Annotated[str, Meta(max_length=1024)] = ""


class Placeholder(msgspec.Struct, kw_only=True):
    """A list, or one of its former versions: who brought it, when, and why. `version` counts from 1.

    `values` are empty in a version that deleted the list.
    """

    name: str
    version: int
    description: str
    values: list[str]
    deleted: bool
    created_by: str
    created_at: datetime
    reason: str


class PlaceholderChange(msgspec.Struct, kw_only=True):
    """The list as it is now, and the ids of the rules that are served differently, or not any more, because of it."""

    placeholder: Placeholder
    rules: list[str]


class PlaceholderChanged(msgspec.Struct, kw_only=True):
    """A list has a new version, or was deleted by it; `rules` are the ids of those that are served differently now."""

    name: str
    version: int
    deleted: bool
    values: int
    rules: list[str]
    changed_by: str
    reason: str


_PATH = "/api/v1/detections/placeholders"
_TAG = "SIEM / Detection"

LIST_PLACEHOLDERS = Endpoint(
    "GET",
    _PATH,
    SIEM_READ,
    service="siem",
    summary="List the placeholders that rules may refer to, by name",
    query=PageQuery,
    returns=Page[Placeholder],
    errors=(VALIDATION,),
    tag=_TAG,
)
GET_PLACEHOLDER = Endpoint(
    "GET",
    _PATH + "/{name}",
    SIEM_READ,
    service="siem",
    summary="Get placeholder",
    returns=Placeholder,
    errors=(NOT_FOUND,),
    tag=_TAG,
)
PUT_PLACEHOLDER = Endpoint(
    "PUT",
    _PATH + "/{name}",
    SIEM_WRITE,
    service="siem",
    summary="Put the values of a placeholder; the rules that refer to it are served with them",
    body=PlaceholderUpdate,
    returns=PlaceholderChange,
    errors=(VALIDATION,),
    tag=_TAG,
    max_body=16 * 1024 * 1024,
)
DELETE_PLACEHOLDER = Endpoint(
    "DELETE",
    _PATH + "/{name}",
    SIEM_WRITE,
    service="siem",
    summary="Delete placeholder; rules that refer to it say that it is missing",
    returns=PlaceholderChange,
    errors=(NOT_FOUND,),
    tag=_TAG,
)
LIST_PLACEHOLDER_VERSIONS = Endpoint(
    "GET",
    _PATH + "/{name}/versions",
    SIEM_READ,
    service="siem",
    summary="List the versions of a placeholder, newest first",
    query=PageQuery,
    returns=Page[Placeholder],
    errors=(NOT_FOUND, VALIDATION),
    tag=_TAG,
)

PLACEHOLDER_CHANGED = Topic("aurora.placeholders.changed", PlaceholderChanged, "A placeholder was put or deleted")
