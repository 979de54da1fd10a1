"""The currency codes of ISO 4217 (E13).

The current codes are those of the list of 2026-01-01, funds, metals and test codes included. The
codes that ISO withdrew since 2010 stay valid, because events of that time are replayed.
"""

from typing import Final

_CURRENT: Final = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP
GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR
KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN
MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX
USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD
XPF XPT XSU XTS XUA XXX YER ZAR ZMW ZWG
"""
_WITHDRAWN: Final = "ANG BGN BYR CUC EEK HRK LTL LVL MRO SLL STD USS VEF XFU ZMK ZWL"

CURRENT: Final = frozenset(_CURRENT.split())
WITHDRAWN: Final = frozenset(_WITHDRAWN.split())
CURRENCIES: Final = CURRENT | WITHDRAWN


def currency_code(text: str) -> str | None:
    """Return the code of a text in any case. None for anything else."""
    # `upper` turns some other characters into ASCII, such as the dotless i.
    code = text.upper() if text.isascii() else ""
    return code if code in CURRENCIES else None
