"""The guards of webhooks: signatures, bounds of bodies and expressions, and exact amounts."""

from tests.fault.guards.guard import Edit, Guard

_SOURCES = "src/goald/sources"
_TESTS = "tests/unit/sources"
SIGNATURES = f"{_TESTS}/test_provider_signatures.py"
COMPARISON = f"{_TESTS}/test_comparison.py"
DOCUMENTS = f"{_TESTS}/test_documents.py"
PAYPAL = f"{_TESTS}/test_paypal_signature.py"
PRESETS = f"{_TESTS}/test_presets.py"
AMOUNTS = f"{_TESTS}/test_amounts.py"
EXPRESSIONS = f"{_TESTS}/test_expressions.py"
IDS = f"{_TESTS}/test_event_ids.py"
BODIES = f"{_TESTS}/test_bodies.py"
HANDSHAKES = f"{_TESTS}/test_handshakes.py"


def _guard(name: str, promise: str, file: str, text: str, instead: str, *tests: str) -> Guard:
    return Guard(f"webhooks: {name}", promise, (Edit(f"{_SOURCES}/{file}", text, instead),), tests)


WEBHOOK_GUARDS = (
    _guard(
        "every secret is used for every delivery",
        "D8",
        "schemes/comparison.py",
        "            found = index\n    return found\n",
        "            return index\n    return found\n",
        COMPARISON,
    ),
    _guard(
        "a stale signature is refused",
        "D8",
        "schemes/timestamped.py",
        "    if age_s > tolerance_s:\n",
        "    if age_s > tolerance_s * 1e6:\n",
        SIGNATURES,
    ),
    _guard(
        "a signature from the future is refused",
        "D8",
        "schemes/timestamped.py",
        "    if age_s < -tolerance_s:\n",
        "    if age_s < -tolerance_s * 1e6:\n",
        SIGNATURES,
    ),
    _guard(
        "HubSpot's signatures without a time need the tenant's consent",
        "D8",
        "schemes/hubspot.py",
        "        if not self.allow_legacy:\n",
        "        if False:\n",
        SIGNATURES,
    ),
    _guard(
        "an old signature of HubSpot does not replace a wrong new one",
        "D8",
        "schemes/hubspot.py",
        "        if delivery.header(_V3) is None and delivery.header(_LEGACY) is not None:\n",
        "        if delivery.header(_LEGACY) is not None:\n",
        SIGNATURES,
    ),
    _guard(
        "no URL but PayPal's is fetched",
        "D8",
        "schemes/paypal.py",
        "parts.netloc in _HOSTS[self.environment] and _PATH.fullmatch(parts.path)",
        "_PATH.fullmatch(parts.path)",
        PAYPAL,
    ),
    _guard(
        "PayPal's certificate has PayPal's name",
        "D8",
        "schemes/paypal.py",
        "    if len(names) != 1 or names[0].value not in subjects:\n",
        "    if len(names) != 1:\n",
        PAYPAL,
    ),
    _guard(
        "a trusted root issued PayPal's certificate",
        "D8",
        "schemes/paypal.py",
        "    fault = _chain_fault(leaf, chain[1:], roots, str(names[0].value), now)\n"
        "    if fault is not None:\n",
        "    fault = _chain_fault(leaf, chain[1:], roots, str(names[0].value), now)\n"
        "    if False:\n",
        PAYPAL,
    ),
    _guard(
        "only a plain origin is echoed",
        "D8",
        "handshakes.py",
        "    if not _ORIGIN.fullmatch(origin):\n",
        "    if not origin:\n",
        HANDSHAKES,
    ),
    _guard(
        "a delivery of another location or shop means nothing",
        "D8",
        "mapping/evaluation.py",
        'root, f"require.{name}")):\n                return check.reason\n',
        'root, f"require.{name}")):\n                continue\n',
        PRESETS,
    ),
    _guard(
        "a test event of a provider means nothing",
        "D1",
        "mapping/evaluation.py",
        "                if not self._document.accept_tests:\n",
        "                if False:\n",
        PRESETS,
    ),
    _guard(
        "expressions that double their result are refused",
        "D8",
        "expressions/expression.py",
        "    if width > MAX_WIDTH:\n",
        "    if False:\n",
        DOCUMENTS,
    ),
    _guard(
        "the steps of expressions are bounded",
        "D8",
        "expressions/budget.py",
        "        if self._remaining < 0:\n",
        "        if False:\n",
        EXPRESSIONS,
    ),
    _guard(
        "the text that a function makes is bounded",
        "D8",
        "expressions/functions.py",
        "    if sum(map(len, texts)) > MAX_TEXT:\n",
        "    if False:\n",
        EXPRESSIONS,
    ),
    _guard(
        "the depth of a body is bounded",
        "D9",
        "bodies/json_text.py",
        "        if depth > MAX_DEPTH:\n",
        "        if False:\n",
        BODIES,
    ),
    _guard(
        "numbers of a body are exact",
        "D9",
        "bodies/json_text.py",
        "parse_float=_number, ",
        "",
        AMOUNTS,
    ),
    _guard(
        "an amount that cannot be read is no payment",
        "D4",
        "mapping/event_builder.py",
        '            raise Unusable("its amount is not a number")\n',
        "            return None\n",
        AMOUNTS,
    ),
    _guard(
        "the provider's minor units come before those of ISO 4217",
        "D9",
        "mapping/event_builder.py",
        "self._document.money.exponents.get(currency, exponent_of(currency))",
        "exponent_of(currency)",
        AMOUNTS,
    ),
    _guard(
        "a missing part of an id derives the id from the body",
        "D1",
        "mapping/event_builder.py",
        'return event_id([str(root["digest"]), name, str(index)])',
        "return event_id([self._delivery_id, name, str(index)])",
        IDS,
    ),
)
