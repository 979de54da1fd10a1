"""IP networks in settings."""

import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks that are separated by commas. Raises ValueError, naming a wrong
    one."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    found = []
    for name in names:
        try:
            found.append(ipaddress.ip_network(name))
        except ValueError:
            raise ValueError(f"{name!r} is not an IP address or network") from None
    return tuple(found)
