"""The codes of ISO 4217 that a goal may name, compared with the list that ISO maintains."""

import pytest
from iso4217 import Currency

from goald.domain.configuration.criteria import read_criteria
from goald.domain.currencies import CURRENCIES, CURRENT, WITHDRAWN, currency_code
from goald.domain.errors import InvalidConfiguration


def test_every_current_code_is_known() -> None:
    listed = {currency.code for currency in Currency}
    assert listed - CURRENCIES == set(), "add these codes to goald.domain.currencies"
    assert CURRENT - listed == set(), "ISO withdrew these codes: move them to the withdrawn ones"
    assert WITHDRAWN.isdisjoint(listed)


@pytest.mark.parametrize("code", sorted(CURRENCIES))
def test_a_goal_names_a_currency_in_any_case(code: str) -> None:
    for written in (code, code.lower(), code.title()):
        assert read_criteria("purchase_made", {"currency": written}) == {"currency": code}


@pytest.mark.parametrize(
    "text", ["", "$", "US$", "dollars", "USD ", "usdt", "ZZZ", "u\u017fd", "\uff35\uff33\uff24"]
)
def test_a_goal_with_anything_else_is_refused_with_the_reason(text: str) -> None:
    assert currency_code(text) is None
    with pytest.raises(InvalidConfiguration, match="must be an ISO 4217 code") as refused:
        read_criteria("purchase_made", {"currency": text})
    assert refused.value.faults[0][0] == "/criteria/currency"
