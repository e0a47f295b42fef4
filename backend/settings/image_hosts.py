"""Which addresses images may be read from, besides Label Studio's own.

Whoever may import a task may write any address into it, and nnloop's workers stand inside the
network: without bounds they would ask there for whatever an annotator likes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PUBLIC, NONE = "public", "none"
"""Words of the setting: every address of the public internet; nothing at all."""

_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_PORT = re.compile(r"(.*):(\d{1,5})")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Addresses that say 127.0.0.1 in the older way, ::127.0.0.1.
_COMPATIBLE = ipaddress.IPv6Network("::/96")
# Where clouds tell a machine its own secrets, and no images are: Azure, Alibaba, AWS, Google.
_METADATA: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in ("168.63.129.16", "100.100.100.200", "fd00:ec2::/32", "fd20:ce::/32")
)
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")


@dataclass(frozen=True, slots=True)
class _Rule:
    """A name or a network, at one port or at all."""

    name: str = ""
    network: Network | None = None
    port: int | None = None

    def names(self, host: str, port: int) -> bool:
        if not self.name or self.port not in (None, port):
            return False
        if self.name.startswith("*."):
            return host.endswith(self.name[1:])
        return host == self.name

    def holds(self, address: IPAddress, port: int) -> bool:
        return self.network is not None and self.port in (None, port) and address in self.network


@dataclass(frozen=True, slots=True)
class ImageHosts:
    """The setting ``image_hosts``, understood.

    Attributes:
        text: As it was written.
        takes_public: Whether every public address is allowed.
    """

    text: str
    takes_public: bool
    _rules: tuple[_Rule, ...]

    @classmethod
    def parse(cls, text: str) -> ImageHosts:
        """Reads ``public,nas.lab,*.example.org,10.0.0.7:9000,192.168.4.0/24``.

        Raises:
            ValueError: A part is none of these.
        """
        parts = [part.strip().lower() for part in text.split(",") if part.strip()]
        rules = tuple(_rule_of(part) for part in parts if part not in (PUBLIC, NONE))
        return cls(text, PUBLIC in parts, rules)

    def permits(self, host: str, port: int, address: str, *, of_storage: bool = False) -> bool:
        """Whether an image may be read from an address.

        Args:
            host: The name or address in the image's URL.
            port: Its port.
            address: An address that the host has, as the system writes it.
            of_storage: Label Studio itself led there, to what is in one of its storages.
        """
        found = true_address(address)
        if any(rule.holds(found, port) for rule in self._rules):
            return True
        if is_of_no_server(found):
            return False
        host = host.lower().rstrip(".")
        named = any(rule.names(host, port) for rule in self._rules)
        return of_storage or named or (self.takes_public and is_public(found))

    def names(self, host: str, port: int) -> bool:
        """Whether a host is allowed by its name."""
        host = host.lower().rstrip(".")
        return any(rule.names(host, port) for rule in self._rules)

    def with_also(self, what: str) -> str:
        """The setting's value that would allow one thing more."""
        kept = [part.strip() for part in self.text.split(",") if part.strip()]
        return ",".join([*(part for part in kept if part.lower() != NONE), what])


def true_address(address: str) -> IPAddress:
    """An address as a number; of an IPv4 address in the clothes of IPv6 the IPv4 address.

    >>> true_address("::ffff:127.0.0.1"), true_address("64:ff9b::7f00:1")
    (IPv4Address('127.0.0.1'), IPv4Address('127.0.0.1'))

    Raises:
        ValueError: It is none.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv4Address):
        return found
    inner = found.ipv4_mapped or found.sixtofour
    in_network = found in _NAT64 or (found in _COMPATIBLE and int(found) > 1)
    return inner or (ipaddress.IPv4Address(int(found) & 0xFFFFFFFF) if in_network else found)


def is_public(address: IPAddress) -> bool:
    """Whether it is an address of the public internet."""
    is_old_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_reserved or address.is_multicast or is_old_local)


def is_of_no_server(address: IPAddress) -> bool:
    """Whether no server of images is there: link-local, metadata of a cloud, many or nobody."""
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or any(_is_in(address, network) for network in (*_METADATA, _THIS_NETWORK))
    )


def kind_of(addresses: Iterable[str]) -> str:
    """What the first address is, in words for a person: ``127.0.0.1, this machine itself``."""
    shown = next(iter(addresses))
    found = true_address(shown)
    if found.is_loopback:
        return f"{shown}, this machine itself"
    if is_of_no_server(found):
        return f"{shown}, a link-local or special address"
    return f"{shown}, a {'public' if is_public(found) else 'private'} address"


def _is_in(address: IPAddress, network: Network) -> bool:
    return address.version == network.version and address in network


def _rule_of(part: str) -> _Rule:
    bare, port = part, None
    if part.startswith("["):
        inner, _, rest = part[1:].partition("]")
        if rest and not _PORT.fullmatch(rest):
            raise _no_rule(part)
        bare, port = inner, int(rest[1:]) if rest else None
    elif part.count(":") == 1 and (found := _PORT.fullmatch(part)):
        bare, port = found.group(1), int(found.group(2))
    try:
        return _Rule(network=ipaddress.ip_network(bare, strict=False), port=port)
    except ValueError:
        pass
    try:
        # As it stands in the URL that is sent: a star is no letter of a name.
        star, _, rest = bare.rpartition("*.")
        name = ("*." if "*." in bare else star) + rest.encode("idna").decode()
    except UnicodeError:
        raise _no_rule(part) from None
    name = name.rstrip(".")
    if not _NAME.fullmatch(name):
        raise _no_rule(part)
    return _Rule(name=name, port=port)


def _no_rule(part: str) -> ValueError:
    return ValueError(
        f"{part!r} is no host; write public, a name (nas.lab, *.example.org), an address or a "
        "network (10.0.0.7, 192.168.4.0/24), with :PORT after it if only that port is meant"
    )
