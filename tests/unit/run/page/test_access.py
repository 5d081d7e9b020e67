"""Who is let in: hosts, origins, tokens."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from oakpoint.run.page.access import Access

LOCAL = Access.to("127.0.0.1", "127.0.0.1")
OPEN = Access.to("0.0.0.0", "0.0.0.0")
HOME = Access.to("192.168.1.5", "192.168.1.5")


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:9", "[::1]:8080", "localhost"])
def test_a_page_for_this_machine_answers_to_its_names_at_any_port(host: str) -> None:
    assert LOCAL.takes_host([host])


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [""],
        ["evil.example"],
        ["evil.example:8080"],
        ["localhost.evil.example:8080"],
        ["127.0.0.1.evil.example"],
        ["192.168.1.5:8080"],
        ["localhost:8080", "localhost:8080"],
        ["localhost:80a"],
        ["evil.example@localhost"],
        ["[::1"],
        ["[::2]:8080"],
        ["localhost:8080/"],
        [" localhost"],
    ],
)
def test_and_to_no_other(hosts: list[str]) -> None:
    assert not LOCAL.takes_host(hosts)


def test_a_page_on_all_addresses_answers_to_numbers_and_its_own_name() -> None:
    for host in ("192.168.1.5:8080", "[fe80::1]:8080", "localhost", f"{socket.gethostname()}:8080"):
        assert OPEN.takes_host([host])
    for host in ("evil.example", "1.2.3.4.evil.example", "0x7f.example"):
        assert not OPEN.takes_host([host])


def test_a_page_on_one_address_answers_to_that() -> None:
    assert HOME.takes_host(["192.168.1.5:8080"])
    assert not HOME.takes_host(["192.168.1.6:8080"])


def test_only_what_others_can_reach_has_a_token_and_each_its_own() -> None:
    assert LOCAL.token is None
    assert Access.to("::1", "::1").token is None
    assert OPEN.token is not None
    assert HOME.token is not None
    assert len({Access.to("0.0.0.0", "0.0.0.0").token for _ in range(20)}) == 20
    assert len(HOME.token) == 32
    assert HOME.prefix == f"/{HOME.token}/"


def test_origins_are_the_pages_own() -> None:
    host = "localhost:8080"
    assert LOCAL.takes_origin(["http://localhost:8080"], host, needed=True)
    assert LOCAL.takes_origin([], host, needed=False)
    for origins in (
        [],
        ["null"],
        ["http://localhost:3000"],
        ["https://localhost:8080"],
        ["http://127.0.0.1:8080"],
        ["http://evil.example"],
        ["http://localhost:8080", "http://evil.example"],
    ):
        assert not LOCAL.takes_origin(origins, host, needed=True)


def test_the_token_is_the_first_part_of_the_path_and_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Any] = []
    import secrets

    real = secrets.compare_digest
    monkeypatch.setattr(secrets, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
    assert LOCAL.inner_path("/frames") == "/frames"
    assert HOME.inner_path(f"/{HOME.token}/frames") == "/frames"
    assert HOME.inner_path(f"/{HOME.token}/") == "/"
    for path in ("/", "/frames", f"/{HOME.token}x/frames", f"//{HOME.token}/", "/\udcff/", "/ü/"):
        assert HOME.inner_path(path) is None
    assert len(compared) == 8
