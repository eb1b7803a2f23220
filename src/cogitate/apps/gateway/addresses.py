"""Addresses of images: passed on and never fetched by us, and none that leads a server into a private network."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import Any, Final, cast
from urllib.parse import urlsplit

from .refusals import invalid

_LOCAL: Final = (
    "localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "metadata",
    "metadata.google.internal",
    "host.docker.internal",
)
_SUFFIXES: Final = (".localhost", ".local", ".internal", ".lan", ".home", ".corp", ".intranet")
_DOTS: Final = str.maketrans("。．｡", "...")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_SHARED: Final = ipaddress.ip_network("100.64.0.0/10")


def check_address(url: str, param: str, *, allow_private: bool) -> None:
    """Refuse what is no `data:`, `http:` or `https:` address, and hosts of private networks.

    A name may still resolve to a private address where it is fetched; the server that fetches it must
    see to that.

    Raises:
        Refused: without repeating the address.
    """
    if url[:5].lower() == "data:":
        return
    if any(c.isspace() or ord(c) < 33 or c == "\\" for c in url):
        raise invalid(f"{param} holds spaces or control characters; encode them", param)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise invalid(f"{param} is no address; give a data: or https: URL", param) from None
    if parts.scheme.lower() not in ("http", "https") or not host:
        raise invalid(f"{param} must be a data:, http: or https: URL", param)
    if parts.username is not None or parts.password is not None:
        raise invalid(f"{param} holds a user name or password; leave it out", param)
    if not allow_private and is_private(host):
        raise invalid(
            f"{param} points into a private network, which this server does not pass on; send the image "
            "as a data: URL",
            param,
            "private_address",
        )


def check_parts(messages: Any) -> None:
    """Refuse the same in messages that are passed on unread, whatever their parts are called.

    Raises:
        Refused: naming the part.
    """
    if not isinstance(messages, list):
        return
    for at, message in enumerate(cast(list[Any], messages)):
        content = (
            cast(dict[str, Any], message).get("content") if isinstance(message, dict) else None
        )
        if not isinstance(content, list):
            continue
        for place, part in enumerate(cast(list[Any], content)):
            if isinstance(part, dict):
                _check_part(cast(dict[str, Any], part), f"messages[{at}].content[{place}]")


def _check_part(part: dict[str, Any], at: str) -> None:
    for name, value in part.items():
        if not name.endswith(("url", "image")):
            continue
        url: Any = cast(dict[str, Any], value).get("url") if isinstance(value, dict) else value
        if isinstance(url, str):
            inner = f"{at}.{name}.url" if isinstance(value, dict) else f"{at}.{name}"
            check_address(url, inner, allow_private=False)


def is_private(host: str) -> bool:
    """Whether a host is, by what it is written as, not on the public network.

    >>> is_private("127.0.0.1"), is_private("0x7f.1"), is_private("2130706433"), is_private("example.org")
    (True, True, True, False)
    """
    # Resolvers read other dots and digits as the plain ones.
    plain = unicodedata.normalize("NFKC", host).translate(_DOTS)
    name = plain.strip("[]").rstrip(".").partition("%")[0].lower()
    if not name or name in _LOCAL or name.endswith(_SUFFIXES):
        return True
    address = _address(name)
    if address is None:
        return "." not in name  # a bare name is one of the local network
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or _embedded(address)
        if inner is not None and is_private(str(inner)):
            return True
    elif address in _SHARED:
        return True
    return not address.is_global or address.is_multicast


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The address inside a NAT64 or an IPv4-compatible one."""
    high = int(address) >> 32
    if high in (0x0064FF9B << 64, 0):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address in any notation that resolvers take: dotted, short, decimal, octal, hexadecimal."""
    if ":" in name:
        try:
            return ipaddress.IPv6Address(name)
        except ValueError:
            return None
    parts = name.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    try:
        numbers = [_number(part) for part in parts]
        value = numbers[-1]
        for place, part in enumerate(numbers[:-1]):
            value += part << (24 - 8 * place)
        return ipaddress.IPv4Address(value)
    except (ValueError, OverflowError):
        return ipaddress.IPv4Address(0)  # numbers that make no address are not passed on


def _number(part: str) -> int:
    if part[:2].lower() == "0x":
        return int(part[2:] or "0", 16)
    return int(part, 8) if len(part) > 1 and part[0] == "0" else int(part)
