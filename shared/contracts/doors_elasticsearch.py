"""The door that Elasticsearch's clients knock at: Beats, Logstash, Fluent Bit, Vector, rsyslog, the language clients.

The shapes are Elasticsearch's own (its REST API, "Bulk", "Index", "Cluster", "Index templates"), so bodies are read by
the door itself and not by a struct. What a client sets up before it sends (templates, policies, pipelines) is
acknowledged and not kept: Aurora's own parsers and retention apply.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shared.contracts.constants import ANY_MEDIA_TYPE, SIEM_WRITE, Endpoint, ErrorCode, HttpMethod
from shared.errors import CLICKHOUSE_UNAVAILABLE, MALFORMED_REQUEST, NOT_FOUND, PAYLOAD_TOO_LARGE, RATE_LIMITED

#: Bytes of a body, packed or not. Clients split what is refused as too large.
ELASTICSEARCH_MAX_BODY = 32 * 1024 * 1024
_INTAKE = (MALFORMED_REQUEST, RATE_LIMITED, PAYLOAD_TOO_LARGE, CLICKHOUSE_UNAVAILABLE)


class BulkAnswer(msgspec.Struct):
    """One entry for each action, in order: `{"create": {"_index", "_id", "status", "error": {"type", "reason"}}}`.

    `took` is in milliseconds; an entry of status 201 is durable when this is sent.
    """

    took: int
    errors: bool
    items: list[dict[str, dict[str, Any]]]


class Acknowledged(msgspec.Struct):
    """Elasticsearch's answer to a change of its settings."""

    acknowledged: bool = True


def _intake(method: HttpMethod, path: str, summary: str, returns: Any, status: int) -> Endpoint[None, bytes, Any]:
    return Endpoint(
        method,
        path,
        SIEM_WRITE,
        service="siem",
        summary=summary,
        body=bytes,
        returns=returns,
        status=status,
        errors=_INTAKE,
        tag="Doors for shippers",
        consumes=(ANY_MEDIA_TYPE,),
        max_body=ELASTICSEARCH_MAX_BODY,
        timeout_seconds=120.0,
    )


def _about(
    method: HttpMethod, path: str, summary: str, returns: Any = None, errors: tuple[ErrorCode, ...] = ()
) -> Endpoint[None, None, Any]:
    produces = "text/plain" if returns is str else "application/json"
    return Endpoint(
        method,
        path,
        SIEM_WRITE,
        service="siem",
        summary=summary,
        returns=returns,
        errors=errors,
        tag="Doors for shippers",
        produces=produces,
    )


def _setting(method: HttpMethod, path: str) -> Endpoint[None, Any, Any]:
    if method != "PUT":
        return _about(method, path, "Ask for a setting of Elasticsearch: there is none", errors=(NOT_FOUND,))
    return Endpoint(
        "PUT",
        path,
        SIEM_WRITE,
        service="siem",
        summary="Acknowledge a setting of Elasticsearch; Aurora needs none",
        body=bytes,
        returns=Acknowledged,
        errors=(PAYLOAD_TOO_LARGE,),
        tag="Doors for shippers",
        consumes=(ANY_MEDIA_TYPE,),
        max_body=4 * 1024 * 1024,
    )


ES_BULK_POST = _intake("POST", "/_bulk", "Store many documents, as Elasticsearch does", BulkAnswer, 200)
ES_BULK_PUT = _intake("PUT", "/_bulk", "Store many documents, as Elasticsearch does", BulkAnswer, 200)
ES_INDEX_BULK_POST = _intake("POST", "/{index}/_bulk", "Store many documents of one index", BulkAnswer, 200)
ES_INDEX_BULK_PUT = _intake("PUT", "/{index}/_bulk", "Store many documents of one index", BulkAnswer, 200)
ES_INDEX_DOCUMENT = _intake("POST", "/{index}/_doc", "Store a document", dict[str, Any], 201)
ES_PUT_DOCUMENT = _intake("PUT", "/{index}/_doc/{id}", "Store a document under an id", dict[str, Any], 201)
ES_CREATE_POST = _intake("POST", "/{index}/_create/{id}", "Store a document under an id", dict[str, Any], 201)
ES_CREATE_PUT = _intake("PUT", "/{index}/_create/{id}", "Store a document under an id", dict[str, Any], 201)

ES_INFO = _about("GET", "/", "What product answers, as Elasticsearch tells it", dict[str, Any])
ES_PING = _about("HEAD", "/", "Whether the door is there")
ES_LICENSE = _about("GET", "/_license", "The licence, as Elasticsearch tells it", dict[str, Any])
ES_XPACK = _about("GET", "/_xpack", "Which features there are, as Elasticsearch tells it", dict[str, Any])
ES_CLUSTER_HEALTH = _about("GET", "/_cluster/health", "Health, as Elasticsearch tells it", dict[str, Any])
ES_CAT_HEALTH = _about("GET", "/_cat/health", "Health in one line, as Elasticsearch tells it", str)

ES_GET_INDEX_TEMPLATE = _setting("GET", "/_index_template/{name}")
ES_HAS_INDEX_TEMPLATE = _setting("HEAD", "/_index_template/{name}")
ES_PUT_INDEX_TEMPLATE = _setting("PUT", "/_index_template/{name}")
ES_GET_TEMPLATE = _setting("GET", "/_template/{name}")
ES_HAS_TEMPLATE = _setting("HEAD", "/_template/{name}")
ES_PUT_TEMPLATE = _setting("PUT", "/_template/{name}")
ES_GET_COMPONENT_TEMPLATE = _setting("GET", "/_component_template/{name}")
ES_HAS_COMPONENT_TEMPLATE = _setting("HEAD", "/_component_template/{name}")
ES_PUT_COMPONENT_TEMPLATE = _setting("PUT", "/_component_template/{name}")
ES_GET_POLICY = _setting("GET", "/_ilm/policy/{name}")
ES_PUT_POLICY = _setting("PUT", "/_ilm/policy/{name}")
ES_GET_PIPELINE = _setting("GET", "/_ingest/pipeline/{name}")
ES_PUT_PIPELINE = _setting("PUT", "/_ingest/pipeline/{name}")
ES_GET_DATA_STREAM = _setting("GET", "/_data_stream/{name}")
ES_PUT_DATA_STREAM = _setting("PUT", "/_data_stream/{name}")

#: Everything of this door: held back by the queue of intake, never counted.
ELASTICSEARCH: frozenset[Endpoint[Any, Any, Any]] = frozenset(
    value for value in tuple(globals().values()) if isinstance(value, Endpoint)
)
