"""Sends one line by the bulk helper of Elasticsearch's own client, after asking who answers: gateway, key, line."""

import sys

from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

gateway, key, line = sys.argv[1:]
with Elasticsearch(gateway, api_key=key, http_compress=True) as client:
    assert client.ping()
    assert client.info()["tagline"] == "You Know, for Search"
    if not client.indices.exists_index_template(name="peer"):
        client.indices.put_index_template(name="peer", index_patterns=["es-peer*"])
    actions = [{"_op_type": "create", "_index": "es-peer", "message": line, "host": {"name": "web01"}}]
    stored, errors = bulk(client, actions)
    assert (stored, errors) == (1, [])
    stored, errors = bulk(client, [{"_op_type": "delete", "_index": "es-peer", "_id": "1"}], raise_on_error=False)
    assert stored == 0
    assert isinstance(errors, list)
    assert errors[0]["delete"]["error"]["type"] == "illegal_argument_exception"
    answer = client.index(index="es-peer", document={"message": "the last one"})
    assert answer["result"] == "created"
