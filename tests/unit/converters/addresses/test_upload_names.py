"""What Label Studio makes of the name of an upload."""

from __future__ import annotations

import unicodedata

import pytest

from converters.addresses.upload_names import name_keys, same_name_key, stored_name


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("a.png", "a.png"),
        ("my scan (left) 1.png", "my_scan_left_1.png"),
        ("a&b #1+é.png", "ab_1é.png"),
        (" leading and trailing .png ", "_leading_and_trailing_.png"),
        ("folder/deeper\\a b.png", "a_b.png"),
        ("tab\tand\nnewline.png", "tabandnewline.png"),
        ("a&amp;b.png", "ab.png"),  # Django unescapes HTML before it looks for '&'
        ("scan.v2-final_3.tar.gz", "scan.v2-final_3.tar.gz"),
        ("größe 図.png", "größe_図.png"),
        ("100%.png", "100.png"),
        ("", ""),
    ],
)
def test_stored_as_django_stores_it(name: str, stored: str) -> None:
    assert stored_name(name) == stored
    assert stored_name(stored) == stored


def test_a_decomposed_name_loses_its_accents_when_it_is_stored() -> None:
    decomposed = unicodedata.normalize("NFD", "größe é.png")
    assert stored_name(decomposed) == "große_e.png"


def test_one_name_in_two_unicode_forms_has_one_key() -> None:
    composed = "größe (2).png"
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    assert same_name_key(composed) == same_name_key(decomposed) == "größe_2.png"
    assert name_keys(composed) == name_keys(decomposed) == ("größe_2.png", "große_2.png")
    assert name_keys("a b.png") == ("a_b.png",)


def test_different_names_keep_different_keys() -> None:
    assert same_name_key("scan_1.png") != same_name_key("scan_2.png")
    assert same_name_key("größe.png") != same_name_key("große.png")
