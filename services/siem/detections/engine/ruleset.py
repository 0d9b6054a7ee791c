"""The rules that are served, as a whole: which filter changes which rule, and which rule feeds which correlation.

Owns references between rules. Refuses to know where rules are stored and how a window or a condition is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from services.siem.detections.engine.compile import all_of
from services.siem.detections.engine.compiled import CompiledRule


class Ruleset:
    """A changing set of enabled rules; those with a problem are left out.

    References are by id or by name, and hold whatever comes first: a correlation may be there before its rules.
    """

    def __init__(self, rules: Iterable[CompiledRule] = ()) -> None:
        self._given: dict[str, CompiledRule] = {}
        self._served: dict[str, CompiledRule] = {}
        self._filters: dict[str, CompiledRule] = {}
        self._correlations: dict[str, CompiledRule] = {}
        self._feeds: dict[str, list[tuple[CompiledRule, str]]] | None = None
        for rule in rules:
            self.put(rule)

    def get(self, rule_id: str) -> CompiledRule | None:
        """The rule as it is served: with the filters that apply to it."""
        return self._served.get(rule_id)

    def of_product(self, product: str) -> list[CompiledRule]:
        """The rules that may match events of a product, as they are served; those for any product too."""
        return [rule for rule in self._served.values() if rule.product in (None, product)]

    def filtered(self, rule: CompiledRule) -> CompiledRule:
        """A rule, of this set or not, with the filters that apply to it."""
        if rule.condition is None:
            return rule
        filters = [item.filter.condition for item in self._filters.values() if item.filter and _applies(item, rule)]
        return replace(rule, condition=all_of([rule.condition, *filters])) if filters else rule

    def put(self, rule: CompiledRule) -> set[str]:
        """Takes a rule in place of one with its id; the ids of the rules that are served differently now."""
        changed = self.drop(rule.id)
        if rule.problem is not None:
            return changed
        self._given[rule.id] = rule
        if rule.filter is not None:
            self._filters[rule.id] = rule
        if rule.correlation is not None:
            self._correlations[rule.id] = rule
        return changed | self._serve_again(rule)

    def drop(self, rule_id: str) -> set[str]:
        """Leaves a rule out; the ids of the rules that are served differently now. An unknown id changes nothing."""
        rule = self._given.pop(rule_id, None)
        if rule is None:
            return set()
        self._filters.pop(rule_id, None)
        self._correlations.pop(rule_id, None)
        del self._served[rule_id]
        return {rule_id} | self._serve_again(rule)

    def feeds(self, rule_id: str) -> list[tuple[CompiledRule, str]]:
        """The correlations that count matches of this rule, each with the reference it does so by."""
        return self._fed().get(rule_id, [])

    def tried_for(self, rule_id: str) -> set[str]:
        """The rules on single events that a rule comes down to: itself, or those that feed a correlation in the end."""
        correlation = self._correlations.get(rule_id)
        if correlation is None:
            return {rule_id}
        found, open_ids = set[str](), [rule_id]
        seen = {rule_id}
        while open_ids:
            wanted = open_ids.pop()
            for base, fed in self._fed().items():
                if base not in seen and any(rule.id == wanted for rule, _ in fed):
                    seen.add(base)
                    (open_ids.append if base in self._correlations else found.add)(base)
        return found

    def silent(self) -> frozenset[str]:
        """The rules that feed correlations only: no correlation that refers to them says `generate: true`."""
        return frozenset(
            rule_id
            for rule_id, fed in self._fed().items()
            if not any(rule.correlation and rule.correlation.generate for rule, _ in fed)
        )

    def _serve_again(self, changed: CompiledRule) -> set[str]:
        self._feeds = None
        affected = [changed] if changed.id in self._given else []
        if changed.filter is not None:
            affected += [rule for rule in self._given.values() if _applies(changed, rule)]
        for rule in affected:
            self._served[rule.id] = self.filtered(rule)
        return {rule.id for rule in affected}

    def _fed(self) -> dict[str, list[tuple[CompiledRule, str]]]:
        if self._feeds is None:
            self._feeds = self._find_feeds()
        return self._feeds

    def _find_feeds(self) -> dict[str, list[tuple[CompiledRule, str]]]:
        referring: dict[str, list[tuple[CompiledRule, str]]] = {}
        for rule in self._correlations.values():
            for reference in rule.correlation.rules if rule.correlation else ():
                referring.setdefault(reference, []).append((rule, reference))
        found = {}
        for rule in self._given.values():
            fed = [feed for name in names_of(rule) for feed in referring.get(name, ()) if feed[0].id != rule.id]
            if fed and rule.filter is None:
                found[rule.id] = fed
        return found


def names_of(rule: CompiledRule) -> Iterator[str]:
    """What a reference to the rule may say."""
    yield rule.id
    if rule.name:
        yield rule.name


def _applies(filter_rule: CompiledRule, rule: CompiledRule) -> bool:
    """Whether a filter applies: its log source takes in the rule's, and it names the rule or all."""
    if filter_rule.filter is None or rule.condition is None:
        return False
    for wanted, has in (
        (filter_rule.product, rule.product),
        (filter_rule.category, rule.category),
        (filter_rule.service, rule.service),
    ):
        if wanted is not None and wanted != has:
            return False
    named = filter_rule.filter.rules
    return named is None or any(name in named for name in names_of(rule))
