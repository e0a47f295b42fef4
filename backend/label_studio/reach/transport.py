"""Connections to what images may be read from: what is connected to is what was looked at.

A name is looked up once for each request, and the connection goes to an address that was found
allowed. Looked up again, the same name may answer with another one.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from urllib.request import getproxies, proxy_bypass

import httpx

from backend.settings.image_hosts import ImageHosts, is_of_no_server, kind_of, true_address

Resolve = Callable[[str, int], list[str]]

BOUNDS = "nnloop_bounds"
"""Key in a request's extensions; without it the request goes anywhere (to Label Studio)."""


class HostRefusedError(Exception):
    """No address of a host is allowed. ``why`` says what it is; ``allow`` what would allow it."""

    def __init__(self, host: str, why: str, allow: str) -> None:
        super().__init__(f"{host} ({why})")
        self.host, self.why, self.allow = host, why, allow


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a request may connect to; ``of_storage``: Label Studio has led to it."""

    hosts: ImageHosts
    of_storage: bool = False


def addresses_of(host: str, port: int) -> list[str]:
    """All addresses of a name, the preferred one first.

    Raises:
        OSError: There are none.
    """
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


class BoundedTransport(httpx.BaseTransport):
    """Sends requests within their ``Bounds``, through the proxies of the environment.

    Where a proxy is used it looks up the name, and its own rules hold. A name that has an address
    here, and one that is not allowed, is not sent to it.

    Args:
        limits: Of the connections kept.
        resolve: Looks up a name.
    """

    def __init__(self, limits: httpx.Limits, resolve: Resolve = addresses_of) -> None:
        self._resolve = resolve
        self._direct = httpx.HTTPTransport(limits=limits)
        found = getproxies()
        self._proxies = {
            scheme: httpx.HTTPTransport(
                limits=limits, proxy=proxy if "://" in proxy else f"http://{proxy}"
            )
            for scheme in ("http", "https")
            if (proxy := found.get(scheme) or found.get("all"))
        }

    def close(self) -> None:
        """Closes the connections."""
        for one in (self._direct, *self._proxies.values()):
            one.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends it.

        Raises:
            HostRefusedError: Its host has no address that is allowed.
            httpx.TransportError: As httpx's own.
        """
        host, port = request.url.raw_host.decode(), _port(request.url)
        proxy = self._proxies.get(request.url.scheme)
        if proxy is not None and proxy_bypass(f"{host}:{port}"):
            proxy = None
        bounds: Bounds | None = request.extensions.get(BOUNDS)
        if bounds is None:
            return (proxy or self._direct).handle_request(request)
        if proxy is not None:
            self._check_for_proxy(host, port, bounds)
            return proxy.handle_request(request)
        return self._send_direct(request, self._allowed(host, port, bounds))

    def _send_direct(self, request: httpx.Request, addresses: list[str]) -> httpx.Response:
        for number, address in enumerate(addresses, start=1):
            to_address = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,  # the host's name among them
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode()},
            )
            try:
                return self._direct.handle_request(to_address)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise httpx.ConnectError("it has no address", request=request)

    def _allowed(self, host: str, port: int, bounds: Bounds) -> list[str]:
        found = self._looked_up(host, port)
        allowed = [a for a in found if bounds.hosts.permits(host, port, a, **_of(bounds))]
        if found and not allowed:
            raise _refused(host, port, found, bounds)
        return allowed

    def _check_for_proxy(self, host: str, port: int, bounds: Bounds) -> None:
        try:
            found = self._looked_up(host, port)
        except httpx.ConnectError:  # the proxy alone knows it
            hosts = bounds.hosts
            if not (bounds.of_storage or hosts.takes_public or hosts.names(host, port)):
                raise HostRefusedError(
                    host, "a name that only the proxy knows", hosts.with_also(host)
                ) from None
            return
        bad = [a for a in found if not bounds.hosts.permits(host, port, a, **_of(bounds))]
        if bad:
            raise _refused(host, port, bad, bounds)

    def _looked_up(self, host: str, port: int) -> list[str]:
        try:
            return self._resolve(host.strip("[]"), port)
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error


def _of(bounds: Bounds) -> dict[str, bool]:
    return {"of_storage": bounds.of_storage}


def _refused(host: str, port: int, found: list[str], bounds: Bounds) -> HostRefusedError:
    # An address that no server of images has is allowed by itself alone, never by a name.
    what = found[0].partition("%")[0] if is_of_no_server(true_address(found[0])) else host
    if port not in (80, 443):
        what = f"[{what}]:{port}" if ":" in what else f"{what}:{port}"
    return HostRefusedError(host, kind_of(found), bounds.hosts.with_also(what))


def _port(url: httpx.URL) -> int:
    return url.port or {"http": 80, "https": 443}.get(url.scheme, 0)
