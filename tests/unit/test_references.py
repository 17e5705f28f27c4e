"""Which functions run which, told from names."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_qeattention.similarity.kept_references import references_of
from pytest_qeattention.similarity.references import STEP_WEIGHT, References, project_files

PRODUCT = """
import helpers as tools

class Base:
    def close(self):
        flush()

class Client(Base):
    def __init__(self, url):
        self.url = normalize(url)

    @property
    def host(self):
        return tools.split(self.url)

    def stop(self):
        self.close()

def normalize(url):
    return url.strip()

def flush():
    pass
"""
TESTS = """
import pytest
from product import Client, normalize as tidy

@pytest.fixture
def client():
    return Client("x")

def test_host(client):
    assert client.host == "x"

def test_tidy():
    assert tidy(" x ") == "x"

def test_stop(client):
    client.stop()

def test_nothing():
    assert 1 + 1 == 2

class TestSetup:
    def setup_method(self):
        self.client = Client("y")

    def test_it(self):
        assert self.client
"""
HELPERS = "def split(url):\n    return url\n"


@pytest.fixture
def references(tmp_path: Path) -> References:
    for name, text in (("product.py", PRODUCT), ("test_product.py", TESTS), ("helpers.py", HELPERS)):
        (tmp_path / name).write_text(text)
    (tmp_path / "broken.py").write_text("def f(:\n")
    return references_of(project_files([tmp_path / "product.py"], [tmp_path / "test_product.py"], tmp_path))


def weights_of(references: References, target: str) -> dict[str, float]:
    number = references.number("product.py", target)
    assert number is not None
    reach = references.reach([number])
    tests = ("test_host", "test_tidy", "test_stop", "test_nothing", "TestSetup::test_it")
    found = {name: references.number("test_product.py", name) for name in tests}
    return {name: round(float(reach.weights[at]), 4) for name, at in found.items() if at is not None}


def test_tests_reach_through_fixtures_setup_and_constructors(references: References) -> None:
    found = weights_of(references, "normalize")
    assert found["test_tidy"] == 1
    # client (its fixture), Client.__init__, normalize: two functions between.
    assert found["test_host"] == found["test_stop"] == STEP_WEIGHT**2
    assert 0 < found["TestSetup::test_it"] < STEP_WEIGHT**2
    assert found["test_nothing"] == 0


def test_methods_of_the_classes_above_are_found(references: References) -> None:
    found = weights_of(references, "flush")
    assert found["test_stop"] == STEP_WEIGHT**2
    assert found["test_host"] == found["test_nothing"] == 0


def test_properties_and_imported_modules_are_followed(references: References) -> None:
    number = references.number("helpers.py", "split")
    assert number is not None
    host = references.number("test_product.py", "test_host")
    assert host is not None
    reach = references.reach([number])
    assert reach.weights[host] == STEP_WEIGHT
    assert references.name(reach.through(host)[0]) == "Client.host"
    assert references.name(reach.through(reach.through(host)[0])[0]) == "split"
    assert reach.through(number) == (-1, 0)


def test_a_name_of_several_functions_counts_for_each_the_less(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("class A:\n    def run(self): pass\nclass B:\n    def run(self): pass\n")
    (tmp_path / "test_a.py").write_text("def test_run(a):\n    a.run()\n")
    references = references_of(project_files([tmp_path / "a.py"], [tmp_path / "test_a.py"], tmp_path))
    target, test = references.number("a.py", "A::run"), references.number("test_a.py", "test_run")
    assert target is not None
    assert references.reach([target]).weights[test] == 0.5


def test_the_surest_way_is_told_and_of_equals_the_first(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "class A:\n    def run(self): goal()\nclass B:\n    def run(self): goal()\n"
        "def last(): goal()\ndef goal(): pass\n"
    )
    (tmp_path / "test_a.py").write_text("def test_any(a):\n    a.run()\ndef test_last(a):\n    a.run()\n    a.last()\n")
    references = references_of(project_files([tmp_path / "a.py"], [tmp_path / "test_a.py"], tmp_path))
    numbers = [references.number("test_a.py", name) for name in ("test_any", "test_last")]
    target = references.number("a.py", "goal")
    assert target is not None
    reach = references.reach([target])
    assert [references.name(reach.through(number)[0]) for number in numbers if number is not None] == ["A.run", "last"]


def test_what_is_asked_about_reaches_itself_and_calls_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def odd(n):\n    return even(n)\ndef even(n):\n    return odd(n)\n")
    references = references_of(project_files([tmp_path / "a.py"], [], tmp_path))
    target = references.number("a.py", "odd")
    assert target is not None
    weights = references.reach([target]).weights
    assert weights[target] == 1
    assert 0 < weights.max() <= 1
    assert references.reach([]).weights.tolist() == [0, 0]


def test_the_package_of_a_file_is_read_and_what_stands_beside_the_tests(tmp_path: Path) -> None:
    names = (
        "src/shop/__init__.py",
        "src/shop/sub/__init__.py",
        "src/shop/sub/deep.py",
        "src/shop/other.py",
        "setup.py",
    )
    tests = ("tests/conftest.py", "tests/unit/test_it.py", "tests/unit/helper.py", "tests/else/test_other.py")
    for name in (*names, *tests):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    files = project_files([tmp_path / "src/shop/sub/deep.py"], [tmp_path / "tests/unit/test_it.py"], tmp_path)
    assert [file.display for file in files] == sorted([*names[:4], *tests[:3]])
