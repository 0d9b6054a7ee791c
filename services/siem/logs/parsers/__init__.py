"""Parsers: from what senders post to events in ECS with their Sigma views. The public names of this package.

`read_items` splits a request body into items; `parse_items` makes an Event, or a Rejected, of each; `join_apart`
completes audit records of one serial that came in several requests.
"""

from services.siem.logs.parsers.auditd_join import join_apart
from services.siem.logs.parsers.body import read_items
from services.siem.logs.parsers.interface import Rejected
from services.siem.logs.parsers.parse import FORMATS, Item, parse_items

__all__ = ["FORMATS", "Item", "Rejected", "join_apart", "parse_items", "read_items"]
