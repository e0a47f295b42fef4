"""Which addresses images may be read from."""

from __future__ import annotations

import pytest

from backend.settings import Settings
from backend.settings.image_hosts import ImageHosts
from domain.errors import SettingsError

PRIVATE = [
    "127.0.0.1",
    "127.8.9.1",
    "10.0.0.7",
    "172.16.0.1",
    "192.168.4.1",
    "100.64.0.1",  # addresses of a provider's own network
    "198.18.0.1",
    "240.0.0.1",
    "::1",
    "fd12::7",
    "fec0::1",
    "::ffff:10.0.0.7",
    "::ffff:7f00:1",
    "::7f00:1",  # 127.0.0.1 as it was written before
    "64:ff9b::a00:7",  # 10.0.0.7 behind a translator
    "2002:a00:7::",  # 10.0.0.7 in a tunnel
    "2001::1",
]
SPECIAL = [
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "fe80::1%eth0",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "ff02::1",
    "168.63.129.16",
    "100.100.100.200",
    "fd00:ec2::254",
]
PUBLIC = ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"]


@pytest.mark.parametrize("address", PRIVATE + SPECIAL)
def test_only_public_addresses_are_allowed_by_themselves(address: str) -> None:
    assert not ImageHosts.parse("public").permits("images.test", 80, address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed_until_the_setting_leaves_it_out(address: str) -> None:
    assert ImageHosts.parse("public").permits("images.test", 443, address)
    for other in ("none", "", "nas.lab", "10.0.0.0/8"):
        assert not ImageHosts.parse(other).permits("images.test", 443, address)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_storage_of_label_studio_may_be_in_the_house(address: str) -> None:
    assert ImageHosts.parse("none").permits("minio", 9000, address, of_storage=True)


@pytest.mark.parametrize("address", SPECIAL)
def test_neither_a_storage_nor_a_name_leads_to_special_addresses(address: str) -> None:
    hosts = ImageHosts.parse("public,minio")
    assert not hosts.permits("minio", 80, address, of_storage=True)


def test_a_special_address_is_allowed_when_it_is_named_itself() -> None:
    hosts = ImageHosts.parse("169.254.10.0/24")
    assert hosts.permits("scanner", 80, "169.254.10.3")
    assert hosts.permits("scanner", 80, "::ffff:169.254.10.3")
    assert not hosts.permits("scanner", 80, "169.254.169.254")


@pytest.mark.parametrize(
    ("setting", "host", "port", "is_allowed"),
    [
        ("nas.lab", "nas.lab", 80, True),
        ("nas.lab", "NAS.lab.", 80, True),
        ("nas.lab", "evil-nas.lab", 80, False),
        ("nas.lab", "nas.lab.evil.test", 80, False),
        ("*.nas.lab", "a.b.nas.lab", 80, True),
        ("*.nas.lab", "nas.lab", 80, False),
        ("*.nas.lab", "evilnas.lab", 80, False),
        ("nas.lab:9000", "nas.lab", 9000, True),
        ("nas.lab:9000", "nas.lab", 6379, False),
        ("public, NAS.lab ", "nas.lab", 80, True),
        ("10.0.0.7", "anything", 80, True),
        ("10.0.0.7:80", "10.0.0.7", 81, False),
        ("10.0.0.0/8", "anything", 80, True),
        ("10.1.0.0/16", "anything", 80, False),
        ("müller.test", "xn--mller-kva.test", 80, True),
    ],
)
def test_names_and_networks(setting: str, host: str, port: int, is_allowed: bool) -> None:
    assert ImageHosts.parse(setting).permits(host, port, "10.0.0.7") is is_allowed


def test_ipv6_is_written_in_brackets_with_a_port() -> None:
    hosts = ImageHosts.parse("[fd12::7]:9000,fd13::/16")
    assert hosts.permits("x", 9000, "fd12::7")
    assert not hosts.permits("x", 80, "fd12::7")
    assert hosts.permits("x", 80, "fd13::9")


@pytest.mark.parametrize(
    "text", ["http://nas.lab", "nas lab", "nas.lab/images", "*", "a..b", "*nas", "[fd12::7]x", "-"]
)
def test_what_is_no_host_is_a_fault_of_the_setting(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("NNLOOP_IMAGE_HOSTS", text)
    with pytest.raises(SettingsError, match="is no host; write public"):
        Settings.load()


def test_what_would_allow_one_more_is_the_setting_with_it() -> None:
    assert ImageHosts.parse("public").with_also("nas.lab") == "public,nas.lab"
    assert ImageHosts.parse("none").with_also("nas.lab") == "nas.lab"
