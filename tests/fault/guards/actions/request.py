"""The guards of the requests that a definition may contain."""

from tests.fault.guards.guard import Edit, Guard

ACTIONS = "tests/unit/definitions/test_actions.py"
DESTINATIONS = "tests/unit/workers/test_destinations.py"
READING = "tests/unit/definitions/test_reading.py"
WEBHOOK = "tests/unit/workers/test_webhook.py"
_REQUESTS = "src/goald/domain/definitions/readers/requests.py"

REQUEST_GUARDS = (
    Guard(
        "destinations: a legacy form of an address is refused",
        "SSRF",
        (
            Edit(
                "src/goald/domain/actions/destinations.py",
                'if _NUMBER.fullmatch(text.rpartition(".")[2]) or ":" in text:',
                "if False:",
            ),
        ),
        (DESTINATIONS, WEBHOOK, ACTIONS),
    ),
    Guard(
        "requests: an address of a special network is a fault of the definition",
        "SSRF",
        (
            Edit(
                _REQUESTS,
                "if address is None or is_global(address) or is_private(address):",
                "if True:",
            ),
        ),
        (ACTIONS,),
    ),
    Guard(
        "requests: an integer of more than 64 bits is a fault of the definition",
        "D9",
        (Edit(_REQUESTS, "not _MIN_INTEGER <= value <= _MAX_INTEGER", "False"),),
        (ACTIONS,),
    ),
    Guard(
        "requests: a header that goald sets is a fault of the definition",
        "D8",
        (Edit(_REQUESTS, "if name.lower() in _RESERVED_HEADERS or", "if"),),
        (ACTIONS,),
    ),
    Guard(
        "requests: a tag that is a template is a fault of the definition",
        "E16",
        (
            Edit(
                "src/goald/domain/definitions/readers/actions.py",
                'if any(mark in field.value for mark in ("{{", "{%")):',
                "if False:",
            ),
        ),
        (ACTIONS,),
    ),
    Guard(
        "requests: a date that no calendar of a time zone has is a fault of the definition",
        "D9",
        (
            Edit(
                "src/goald/domain/definitions/readers/waits.py",
                "    if FIRST_YEAR <= day.year <= LAST_YEAR:\n",
                "    if True:\n",
            ),
        ),
        (READING,),
    ),
)
