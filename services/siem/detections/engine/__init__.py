"""The streaming Sigma engine: compile rules once, evaluate each event against all of them.

Owns rule semantics and speed; pure code. Refuses to know storage, HTTP and clocks.
"""

from services.siem.detections.engine.compile import compile_rule
from services.siem.detections.engine.compiled import COMPILER_VERSION, CompiledRule, decode, encode
from services.siem.detections.engine.document import split_documents
from services.siem.detections.engine.engine import Engine

__all__ = ["COMPILER_VERSION", "CompiledRule", "Engine", "compile_rule", "decode", "encode", "split_documents"]
