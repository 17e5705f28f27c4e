"""Tests that look alike and are not, and twins that are alike and no copies: where tools of this kind cry wolf."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_qeattention.similarity.builtin import TestSimilarity
from pytest_qeattention.similarity.model import Group
from pytest_qeattention.similarity.service import suite_from_paths
from pytest_qeattention.similarity.workload import Request

Groups = Callable[[str], tuple[Group, ...]]


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    def find(source: str) -> tuple[Group, ...]:
        (tmp_path / "test_sample.py").write_text(textwrap.dedent(source), encoding="utf-8")
        suite = suite_from_paths([str(tmp_path)], cwd=tmp_path)
        return TestSimilarity().analyse(suite, Request(num_threads=1)).groups

    return find


def differences(group: Group) -> list[str]:
    """Return what the reasons of *group* name as differing."""
    return [reason for reason in group.reasons if " differ: " in reason or " differs: " in reason]


ASSERT_ONLY = """
    from shop import basket, customer, invoice

    def test_a_new_basket_is_empty():
        assert basket.items == []
        assert basket.total == 0
        assert basket.voucher is None

    def test_a_guest_has_no_address():
        assert customer.street == ""
        assert customer.country == "DE"
        assert customer.newsletter is False

    def test_the_numbers_of_drafts():
        assert invoice.number is None
        assert invoice.series == "DRAFT"
        assert invoice.due_days == 14
    """

MONKEYPATCH_CHAINS = """
    from deploy import paths, proxies, terminal

    def test_cache_directory_follows_xdg(monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr("os.name", "posix")
        assert paths.cache_directory() == tmp_path / "deploy"

    def test_no_proxy_wins_over_proxy(monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
        monkeypatch.setenv("NO_PROXY", "*.example")
        monkeypatch.delenv("ALL_PROXY", raising=False)
        assert not proxies.needed_for("https://api.example")

    def test_colours_are_off_in_dumb_terminals(monkeypatch, capsys):
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.delenv("FORCE_COLOR", raising=False)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        terminal.warn("careful")
        assert "\\x1b" not in capsys.readouterr().out
    """

SAME_STATUS = """
    def test_a_user_can_log_in(client, ada):
        response = client.post("/login", json={"email": ada.email, "password": "secret"})
        assert response.status_code == 200

    def test_the_invoice_is_a_pdf(client, auditor, invoice):
        auditor.grant("invoices:read")
        headers = auditor.headers(accept="application/pdf")
        response = client.get(f"/invoices/{invoice.id}", headers=headers)
        assert response.status_code == 200

    def test_health_needs_no_session(client, monkeypatch):
        monkeypatch.setattr("shop.db.ping", lambda timeout: True)
        for path in ("/health", "/ready"):
            response = client.options(path)
        assert response.status_code == 200
    """

OTHER_EXCEPTION = """
    import pytest
    from shop import Basket, parse_date, Warehouse

    def test_a_date_needs_a_year():
        with pytest.raises(ValueError, match="year"):
            parse_date("12-24")

    def test_an_unknown_voucher_is_refused(basket):
        with pytest.raises(LookupError, match="voucher"):
            basket.redeem("SPRING")

    def test_a_closed_warehouse_takes_nothing(warehouse, pallet):
        with pytest.raises(PermissionError, match="closed"):
            warehouse.store(pallet)
    """


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(ASSERT_ONLY, id="assert-only"),
        pytest.param(MONKEYPATCH_CHAINS, id="monkeypatch-chains"),
        pytest.param(SAME_STATUS, id="same-status-other-endpoint"),
        pytest.param(OTHER_EXCEPTION, id="same-structure-other-exception"),
    ],
)
def test_one_idiom_on_different_things_is_no_group(groups: Groups, source: str) -> None:
    assert groups(source) == ()


def test_a_sync_and_an_async_twin_are_similar(groups: Groups) -> None:
    (group,) = groups(
        """
        import pytest
        from shop.client import Client, AsyncClient

        def test_client_retries_on_timeout(server):
            server.fail(times=2)
            client = Client(server.url, retries=3)
            client.login("ada", password="secret")
            answer = client.fetch("/stock")
            assert answer.attempts == 3
            assert answer.body == {"apples": 4}

        @pytest.mark.anyio
        async def test_async_client_retries_on_timeout(server):
            server.fail(times=2)
            client = AsyncClient(server.url, retries=3)
            client.login("ada", password="secret")
            answer = await client.fetch("/stock")
            assert answer.attempts == 3
            assert answer.body == {"apples": 4}

        def test_unrelated(server):
            assert server.log == []
        """
    )

    assert group.kind == "similar"
    assert [test.line for test in group.tests] == [5, 14]


def test_boundary_values_are_to_be_parametrised(groups: Groups) -> None:
    (group,) = groups(
        """
        from shop import shipping

        def test_shipping_just_below_the_limit():
            assert shipping(weight=9.99) == 490

        def test_shipping_at_the_limit():
            assert shipping(weight=10.0) == 490

        def test_shipping_just_above_the_limit():
            assert shipping(weight=10.01) == 990

        def test_catalogue_is_sorted(catalogue):
            names = [entry.name for entry in catalogue]
            assert names == sorted(names)
        """
    )

    assert group.kind == "parametrize"
    assert len(group.tests) == 3


def test_short_twins_that_expect_different_exceptions_are_no_group(groups: Groups) -> None:
    found = groups(
        """
        import pytest
        from shop import parse_price

        def test_price_of_letters():
            with pytest.raises(ValueError):
                parse_price("abc")

        def test_price_of_nothing():
            with pytest.raises(TypeError):
                parse_price(None)
        """
    )

    assert found == ()


def test_twins_that_expect_different_exceptions_are_to_be_parametrised_by_them(groups: Groups) -> None:
    (group,) = groups(
        """
        import pytest

        def test_an_unknown_row_is_refused(ledger):
            ledger.open("2026")
            with pytest.raises(LookupError):
                ledger.remove("apple")
            assert ledger.rows == []

        def test_a_row_of_a_closed_ledger_is_refused(ledger):
            ledger.open("2026")
            with pytest.raises(PermissionError):
                ledger.remove("apple")
            assert ledger.rows == []
        """
    )

    assert (group.kind, len(group.tests)) == ("parametrize", 2)
    assert differences(group) == ["1 name differs: LookupError / PermissionError"]


STATUS_OF_ENDPOINTS = """
    from shop.db import Basket, User

    def test_users_needs_login(client):
        response = client.get("/users")
        assert response.status_code == 401

    def test_orders_needs_login(client):
        response = client.get("/orders")
        assert response.status_code == 401

    def test_home_is_open(client):
        response = client.get("/")
        assert response.status_code == 200

    def test_health_is_open(client):
        response = client.get("/health")
        assert response.status_code == 200
    """
ENDPOINT_TESTS = [
    "test_users_needs_login",
    "test_orders_needs_login",
    "test_home_is_open",
    "test_health_is_open",
]


def test_endpoints_and_their_status_are_to_be_parametrised(groups: Groups) -> None:
    (group,) = groups(STATUS_OF_ENDPOINTS)

    assert group.kind == "parametrize"
    assert [test.qualname for test in group.tests] == ENDPOINT_TESTS
    assert differences(group) == ["2 literals differ: '/users' / '/orders' / '/' / … (4 values); 401 / 200"]


OTHER_WAYS_TO_A_STATUS = {
    "other-method": """
    def test_stock_needs_login(client):
        response = client.delete("/stock")
        assert response.status_code == 401
    """,
    "payload": """
    def test_stock_needs_login(client):
        response = client.post("/stock", json={"apples": 4})
        assert response.status_code == 401
    """,
    "parameters": """
    def test_stock_needs_login(client):
        response = client.get("/stock", params={"apples": 4})
        assert response.status_code == 401
    """,
    "login": """
    def test_stock_needs_login(client, ada):
        client.force_login(ada)
        response = client.get("/stock")
        assert response.status_code == 401
    """,
    "setup": """
    def test_stock_needs_login(client, db):
        ada = User(name="ada")
        db.add(ada)
        ada.lock()
        response = client.get("/stock")
        assert response.status_code == 401
    """,
    "computed-address": """
    def test_stock_needs_login(client, clock):
        basket = Basket(client.session)
        clock.advance(days=2)
        response = client.get(basket.url)
        assert response.status_code == 401
    """,
    "second-assertion": """
    def test_stock_needs_login(client):
        response = client.get("/stock")
        assert response.status_code == 401
        assert response.json() == {"error": "login"}
    """,
}
FIRST_ENDPOINT = STATUS_OF_ENDPOINTS.split("    def test_orders", maxsplit=1)[0]


@pytest.mark.parametrize("other", OTHER_WAYS_TO_A_STATUS.values(), ids=OTHER_WAYS_TO_A_STATUS)
def test_the_same_status_reached_in_another_way_is_no_group(groups: Groups, other: str) -> None:
    assert groups(FIRST_ENDPOINT + other) == ()


@pytest.mark.parametrize(
    "name",
    [
        "setup",
        *(
            pytest.param(
                name,
                marks=pytest.mark.xfail(
                    raises=AssertionError,
                    strict=True,
                    reason="a test that differs by a call or an argument joins the group of tests beside it that are "
                    "alike but for literals",
                ),
            )
            for name in OTHER_WAYS_TO_A_STATUS
            if name != "setup"
        ),
    ],
)
def test_beside_a_group_the_same_status_reached_in_another_way_stays_out(groups: Groups, name: str) -> None:
    (group,) = groups(STATUS_OF_ENDPOINTS + OTHER_WAYS_TO_A_STATUS[name])

    assert group.kind == "parametrize"
    assert [test.qualname for test in group.tests] == ENDPOINT_TESTS


@pytest.mark.parametrize("name", OTHER_WAYS_TO_A_STATUS)
def test_a_status_alone_makes_no_duplicate(groups: Groups, name: str) -> None:
    kinds = {group.kind for group in groups(STATUS_OF_ENDPOINTS + OTHER_WAYS_TO_A_STATUS[name])}

    assert kinds <= {"parametrize", "similar"}
    assert kinds


ENVIRONMENT = """
    from deploy import paths

    def test_cache_follows_xdg(monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", "/c")
        monkeypatch.delenv("HOME", raising=False)
        assert paths.{0}("cache") == "/c/deploy"

    def test_config_follows_xdg(monkeypatch):
        monkeypatch.setenv("XDG_CONFIG_HOME", "/k")
        monkeypatch.delenv("HOME", raising=False)
        assert paths.{1}("config") == "/k/deploy"
    """


@pytest.mark.parametrize(
    ("functions", "names"),
    [
        pytest.param(("directory", "directory"), [], id="literals"),
        pytest.param(("cached", "configured"), ["1 name differs: .cached / .configured"], id="literals-and-function"),
    ],
)
def test_environments_that_differ_in_values_are_to_be_parametrised(
    groups: Groups, functions: tuple[str, str], names: list[str]
) -> None:
    (group,) = groups(ENVIRONMENT.format(*functions))

    assert (group.kind, len(group.tests)) == ("parametrize", 2)
    assert differences(group) == [
        "4 literals differ: 'XDG_CACHE_HOME' / 'XDG_CONFIG_HOME'; '/c' / '/k'; 'cache' / 'config'; and 1 more",
        *names,
    ]


def test_the_same_patches_around_another_call_are_no_group(groups: Groups) -> None:
    found = groups(
        """
        from deploy import paths, proxies

        def test_cache_follows_xdg(monkeypatch):
            monkeypatch.setenv("XDG_CACHE_HOME", "/c")
            monkeypatch.delenv("HOME", raising=False)
            assert paths.directory("cache") == "/c/deploy"

        def test_no_proxy_wins(monkeypatch):
            monkeypatch.setenv("NO_PROXY", "*")
            monkeypatch.delenv("HTTPS_PROXY", raising=False)
            assert proxies.chosen() is None
        """
    )

    assert found == ()
