"""The signs that command lines give: what they do openly, and what they hide."""

from __future__ import annotations

from services.agents.toolkit.behaviours import behaviours_in
from services.agents.toolkit.decoding import MAX_INPUT, decode
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.signs import Sign
from services.agents.toolkit.tools.commands import DECODE_COMMAND, CommandArguments
from services.agents.toolkit.work import Work
from shared.contracts.investigations import Citation

#: That something is hidden at all says a little; what is inside says the rest.
_HIDDEN_WEIGHT = 0.3
#: Every script sets variables. And what doesn't show is taken out to be read, but that it was there says nothing: an
#: attacker who puts such characters into a text must not change a verdict by them, in either direction.
_ORDINARY = frozenset({"variables", "unseen characters"})


async def command_signs(command: str, carrier: Citation, work: Work) -> tuple[list[Sign], list[str]]:
    """The signs of one command line, and the texts that were hidden in it (for indicators)."""
    if not work.may_read(len(command)):
        return [], []
    signs = _signs(command, quote(command), carrier)
    if not decode(command[:MAX_INPUT]):
        return signs, []
    decoded = await work.use(DECODE_COMMAND, CommandArguments(command[:MAX_INPUT]))
    if decoded is None:
        return signs, []
    hidden = [layer for layer in decoded.result["layers"] if work.may_read(len(layer["text"]))]
    for layer in hidden:
        encoding = f"text hidden in a command line ({layer['encoding']}): {quote(layer['text'])}"
        if layer["encoding"] not in _ORDINARY:
            signs.append(Sign("hidden-text", encoding, _HIDDEN_WEIGHT, ("T1027",), decoded))
        signs += _signs(layer["text"], f"hidden text {quote(layer['text'])}", decoded)
    return signs, [layer["text"] for layer in hidden]


def _signs(text: str, where: str, carrier: Citation) -> list[Sign]:
    return [
        Sign(behaviour.id, f"{behaviour.text}: {where}", behaviour.weight, behaviour.techniques, carrier)
        for behaviour in behaviours_in(text)
    ]
