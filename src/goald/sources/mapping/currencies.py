"""Minor units of currencies by ISO 4217."""

from typing import Final

from goald.domain.currencies import CURRENCIES

_EXPONENTS: Final = {
    0: "BIF BYR CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_NO_MINOR_UNIT: Final = "XAG XAU XBA XBB XBC XBD XDR XFU XPD XPT XSU XTS XUA XXX"
_WITHOUT: Final = frozenset(_NO_MINOR_UNIT.split())
_BY_CODE: Final = {
    code: exponent for exponent, codes in _EXPONENTS.items() for code in codes.split()
}


def exponent_of(currency: str) -> int | None:
    """Return the decimals of the minor unit of a currency, given in capitals; None for an unknown
    code and for a code without a minor unit, such as XAU."""
    if currency not in CURRENCIES or currency in _WITHOUT:
        return None
    return _BY_CODE.get(currency, 2)
