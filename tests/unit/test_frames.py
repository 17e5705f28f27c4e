from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import pytest

from pytest_qeattention.defects.frames import ROLES, Roles

ROOT = "/home/joe/shop"
SRC = Roles(
    ROOT,
    ["tests/test_cart.py", "tests/unit/test_price.py", f"{ROOT}/tests/unit/test_tax.py"],
    ["shop"],
)
FLAT = Roles(ROOT, ["test_cart.py", "shop/test_price.py"], ["shop"])
UNKNOWN = Roles(ROOT)


@pytest.mark.parametrize(
    ("path", "qualname", "role", "shown"),
    [
        ("src/shop/cart.py", "Cart.add", "product", "src/shop/cart.py"),
        (f"{ROOT}/src/shop/cart.py", "Cart.add", "product", "src/shop/cart.py"),
        (f"{ROOT}/./src/shop/cart.py".replace("/./", "/"), "<module>", "product", "src/shop/cart.py"),
        (f"{ROOT}/tests/test_cart.py", "test_add", "test", "tests/test_cart.py"),
        (f"{ROOT}/tests/test_cart.py", "TestCart.test_add", "test", "tests/test_cart.py"),
        (f"{ROOT}/tests/test_cart.py", "test_add.<locals>.inner", "helper", "tests/test_cart.py"),
        (f"{ROOT}/tests/test_cart.py", "test_add.<locals>.<lambda>", "test", "tests/test_cart.py"),
        (f"{ROOT}/tests/test_cart.py", "<module>", "test", "tests/test_cart.py"),
        (f"{ROOT}/tests/test_cart.py", "make_cart", "helper", "tests/test_cart.py"),
        (f"{ROOT}/tests/test_cart.py", "test_Cart.make", "helper", "tests/test_cart.py"),
        (f"{ROOT}/tests/test_cart.py", "TestCart.setUp", "fixture", "tests/test_cart.py"),
        (f"{ROOT}/tests/test_cart.py", "TestCart.setup_method", "fixture", "tests/test_cart.py"),
        (f"{ROOT}/tests/unit/test_tax.py", "test_tax", "test", "tests/unit/test_tax.py"),
        (f"{ROOT}/tests/conftest.py", "database", "helper", "tests/conftest.py"),
        (f"{ROOT}/tests/unit/conftest.py", "<module>", "helper", "tests/unit/conftest.py"),
        (f"{ROOT}/conftest.py", "pytest_configure", "helper", "conftest.py"),
        (f"{ROOT}/tests/helpers/carts.py", "make_cart", "helper", "tests/helpers/carts.py"),
        (f"{ROOT}/tests/helpers/carts.py", "test_data", "helper", "tests/helpers/carts.py"),
        # No test is below it: it is what the project offers to the tests of others.
        (f"{ROOT}/src/shop/testing/client.py", "Client.get", "product", "src/shop/testing/client.py"),
        (
            f"{ROOT}/.venv/lib/python3.11/site-packages/requests/api.py",
            "get",
            "third party",
            "site-packages/requests/api.py",
        ),
        (f"{ROOT}/.tox/py311/lib/python3.11/site-packages/shop/cart.py", "Cart.add", "product", "shop/cart.py"),
        (f"{ROOT}/.venv/bin/pytest", "<module>", "third party", ".venv/bin/pytest"),
        ("/usr/lib/python3/dist-packages/six.py", "wraps", "third party", "site-packages/six.py"),
        ("/opt/py/lib/python3.12/site-packages/shop/cart.py", "Cart.add", "product", "shop/cart.py"),
        ("/opt/py/lib/python3.12/site-packages/shop/tests/test_x.py", "helper", "product", "shop/tests/test_x.py"),
        ("/opt/py/lib/python3.12/json/decoder.py", "JSONDecoder.decode", "stdlib", "<stdlib>/json/decoder.py"),
        ("/opt/python3.13t/lib/python3.13t/json/decoder.py", "loads", "stdlib", "<stdlib>/json/decoder.py"),
        ("/home/joe/other/src/shop/cart.py", "Cart.add", "product", "shop/cart.py"),
        ("/home/joe/other/lib/tools/run.py", "run", "third party", "<outside>/lib/tools/run.py"),
        ("/home/joe/shopping/x.py", "run", "third party", "<outside>/joe/shopping/x.py"),
        ("/opt/app.zip/shop/cart.py", "Cart.add", "product", "shop/cart.py"),
        ("/opt/tool.pex/requests/api.py", "get", "third party", "requests/api.py"),
        ("/opt/lib/python311.zip/json/decoder.py", "loads", "stdlib", "<stdlib>/json/decoder.py"),
        ("<frozen importlib._bootstrap>", "_find_and_load", "stdlib", "<stdlib>/importlib/_bootstrap.py"),
        ("<frozen importlib._bootstrap_external>", "x", "stdlib", "<stdlib>/importlib/_bootstrap_external.py"),
        ("<string>", "__init__", "stdlib", "<string>"),
        ("<attrs generated init shop.Cart-17>", "__init__", "third party", "<attrs>"),
        ("<ipython-input-3-5b9a8c1d2e3f>", "<module>", "third party", "<ipython>"),
    ],
)
def test_roles_in_a_src_layout(path: str, qualname: str, role: str, shown: str) -> None:
    assert SRC.role(path, qualname) == role
    assert SRC.display(path) == shown
    assert role in ROLES


@pytest.mark.parametrize(
    ("path", "qualname", "role"),
    [
        ("test_cart.py", "test_add", "test"),
        ("shop/test_price.py", "make", "helper"),
        ("shop/price.py", "price", "product"),
        ("cart.py", "Cart.add", "product"),
        ("setup.py", "<module>", "product"),
    ],
)
def test_roles_in_a_flat_layout(path: str, qualname: str, role: str) -> None:
    assert FLAT.role(f"{ROOT}/{path}", qualname) == role


@pytest.mark.parametrize(
    ("path", "qualname", "role"),
    [
        ("tests/test_cart.py", "test_add", "test"),
        ("cart_test.py", "test_add", "test"),
        ("tests/tools.py", "make", "helper"),
        ("t/unit/mocks.py", "make", "helper"),
        ("shop/_tests/data.py", "make", "helper"),
        ("integration_tests/steps.py", "make", "helper"),
        ("shop/latest/data.py", "make", "product"),
        ("contest/data.py", "make", "product"),
        ("shop/protest.py", "make", "product"),
    ],
)
def test_names_of_files_decide_where_no_tests_are_known(path: str, qualname: str, role: str) -> None:
    assert UNKNOWN.role(path, qualname) == role


def test_a_fixture_is_one_wherever_it_stands_in_the_project() -> None:
    assert SRC.role("tests/conftest.py", "database", is_fixture=True) == "fixture"
    assert SRC.role("src/shop/fixtures.py", "database", is_fixture=True) == "fixture"
    assert SRC.role("/usr/lib/python3/dist-packages/pytest_django/plugin.py", "db", is_fixture=True) == "third party"


def test_tests_have_other_names_where_the_project_says_so() -> None:
    roles = Roles(ROOT, ["checks/check_cart.py"], test_functions=("check", "it_"))
    assert roles.role("checks/check_cart.py", "it_adds") == "test"
    assert roles.role("checks/check_cart.py", "test_adds") == "helper"


@pytest.mark.parametrize(
    ("path", "role", "shown"),
    [
        (r"C:\work\shop\src\shop\cart.py", "product", "src/shop/cart.py"),
        (r"c:\Work\shop\src\shop\cart.py", "product", "src/shop/cart.py"),
        (r"C:\work\shop\tests\test_a.py", "test", "tests/test_a.py"),
        (r"C:\work\shop\.venv\Lib\site-packages\six.py", "third party", "site-packages/six.py"),
        (r"C:\Python311\Lib\json\decoder.py", "stdlib", "<stdlib>/json/decoder.py"),
        (r"C:\hostedtoolcache\windows\Python\3.11.7\x64\Lib\json\decoder.py", "stdlib", "<stdlib>/json/decoder.py"),
        (r"C:\Python311\Lib\site-packages\requests\api.py", "third party", "site-packages/requests/api.py"),
        (r"D:\other\tool.py", "third party", "<outside>/D:/other/tool.py"),
    ],
)
def test_windows_paths(path: str, role: str, shown: str) -> None:
    roles = Roles(r"C:\work\shop", [r"C:\work\shop\tests\test_a.py"], ["shop"])
    assert (roles.role(path, "test_a"), roles.display(path)) == (role, shown)


def test_this_interpreter_is_known_by_its_own_paths() -> None:
    assert SRC.role(os.__file__, "fspath") == "stdlib"
    assert SRC.display(os.__file__) == "<stdlib>/os.py"
    assert SRC.role(pytest.__file__, "main") == "third party"
    assert SRC.display(pytest.__file__) == "site-packages/pytest/__init__.py"


def test_a_root_directory_in_site_packages_is_a_project() -> None:
    root = f"{sysconfig.get_path('purelib')}/shop"
    roles = Roles(root, ["tests/test_a.py"])
    assert roles.role(f"{root}/cart.py", "add") == "product"
    assert roles.display(f"{root}/cart.py") == "cart.py"
    assert roles.role(f"{root}/tests/test_a.py", "test_a") == "test"
    assert roles.role(os.__file__, "fspath") == "stdlib"


def test_the_root_of_all_leaves_libraries_what_they_are() -> None:
    roles = Roles("/", ["app/tests/test_a.py"])
    assert roles.role("/app/cart.py", "add") == "product"
    assert roles.role(os.__file__, "fspath") == "stdlib"
    assert roles.role("/usr/lib/python3/dist-packages/six.py", "wraps") == "third party"


def test_a_link_to_the_root_directory_is_the_root_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    roles = Roles(link, ["test_a.py"])
    assert roles.display(f"{tmp_path}/real/x.py") == "x.py"
    assert roles.display(f"{link}/x.py") == "x.py"


@pytest.mark.parametrize(
    "path", ["", "/", "<>", ".", "..", "a" * 100_000, "/" * 1_000, "\ud800", "\0", "<a\nb>", "//?/C:/x"]
)
def test_no_path_is_too_odd(path: str) -> None:
    assert SRC.role(path, "") in ROLES
    assert isinstance(SRC.display(path), str)
