"""HTTP/1.1 to a service, at a third of what a general client costs: `Pool.ask` gives an `Answer` whose body streams.

    pool = Pool("http://127.0.0.1:5081")
    async with await pool.ask("GET", "/api/v1/alerts", {"Authorization": "Bearer ..."}, seconds=30) as answer:
        while piece := await answer.piece():
            ...

The parts: `message` (a request as bytes, what an answer's head must be; pure), `connection` (one connection, one
exchange at a time; the one file that knows the parser), `pool` (connections kept, limits, the one retry). Nothing here
follows redirects, keeps cookies, unpacks bodies or knows a service.
"""

from shared.upstream.connection import Answer
from shared.upstream.message import AnswerBroken, AnswerLate, Unreachable, UpstreamError
from shared.upstream.pool import Pool

__all__ = ["Answer", "AnswerBroken", "AnswerLate", "Pool", "Unreachable", "UpstreamError"]
