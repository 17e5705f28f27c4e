from __future__ import annotations

import json
import math

from pytest_qeattention.report.document import document, dumps, similar_part
from pytest_qeattention.report.information import information_lines
from pytest_qeattention.similarity.model import Group, Neighbor, Problem, SimilarReport, Unit

BACKEND = {"version": "1", "threads": 2}


def unit(name: str, path: str = "tests/test_a.py") -> Unit:
    return Unit(f"{path}::{name}", path, 3, name, name, 2, 4, "def x(): pass\n")


ONE, TWO = unit("test_one"), unit("test_two")
REPORT = SimilarReport(
    "test-similarity",
    7,
    (Group("g1", "duplicate", 0.12345678, (ONE, TWO), ("the same",), None),),
    left_out={"no source": 1, "doctest": 2},
    problems=(Problem("b.py", "is empty"), Problem("a.py", "does not parse", 4)),
)


def test_the_document_has_the_promised_shape() -> None:
    result = json.loads(dumps(document(backend=BACKEND, similar=REPORT)))

    assert result == {
        "schema": "qeattention/1",
        "backend": BACKEND,
        "similar": {
            "tests": 7,
            "groups": [
                {
                    "id": "g1",
                    "kind": "duplicate",
                    "score": 0.123457,
                    "tests": [
                        {
                            "nodeid": "tests/test_a.py::test_one",
                            "path": "tests/test_a.py",
                            "line": 3,
                            "name": "test_one",
                        },
                        {
                            "nodeid": "tests/test_a.py::test_two",
                            "path": "tests/test_a.py",
                            "line": 3,
                            "name": "test_two",
                        },
                    ],
                    "reasons": ["the same"],
                    "suggestion": None,
                }
            ],
            "search": "exact",
            "left_out": {"doctest": 2, "no source": 1},
            "problems": [
                {"path": "a.py", "line": 4, "message": "does not parse"},
                {"path": "b.py", "line": None, "message": "is empty"},
            ],
        },
    }


def test_neighbours_and_ranking_are_there_when_asked_for() -> None:
    near = Neighbor(TWO, 0.5, ("words",))
    part = similar_part(SimilarReport("test-similarity", 2, neighbors=((ONE, (near,)),), ranked=("query", (near,))))

    place = {"nodeid": "tests/test_a.py::test_two", "path": "tests/test_a.py", "line": 3, "score": 0.5}
    assert part["neighbors"] == [
        {"nodeid": "tests/test_a.py::test_one", "path": "tests/test_a.py", "line": 3, "nearest": [place]}
    ]
    assert "groups" not in part
    assert part["ranked"] == {"query": "query", "results": [{**place, "reasons": ["words"]}]}


def test_parts_not_asked_for_are_absent() -> None:
    assert set(document(backend=BACKEND)) == {"schema", "backend"}
    assert not {"neighbors", "ranked"} & set(similar_part(SimilarReport("test-similarity", 0)))


def test_an_analysis_that_failed_is_null() -> None:
    assert document(backend=BACKEND, similar_failed=True)["similar"] is None


def test_other_workloads_are_listed_by_name() -> None:
    result = document(backend=BACKEND, similar=REPORT, workloads=[SimilarReport("same-fixtures", 7)])

    assert list(result["workloads"]) == ["same-fixtures"]
    assert result["workloads"]["same-fixtures"]["tests"] == 7


def test_problems_of_the_run_are_listed() -> None:
    result = document(backend=BACKEND, problems=[Problem("conftest.py", "hook raised", 3)])

    assert result["problems"] == [{"path": "conftest.py", "line": 3, "message": "hook raised"}]


def test_what_json_has_no_number_for_is_null() -> None:
    assert json.loads(dumps({"a": math.nan, "b": -math.inf, "c": [1e-9, True, 3]})) == {
        "a": None,
        "b": None,
        "c": [0.0, True, 3],
    }


def test_scalars_of_numpy_are_written_as_numbers() -> None:
    import numpy as np

    assert json.loads(dumps({"score": np.float32(0.5)})) == {"score": 0.5}


def test_text_is_written_as_it_is_and_ends_with_a_line_end() -> None:
    text = dumps({"name": "tést_茶"})

    assert "tést_茶" in text
    assert text.endswith("}\n")


def test_a_file_name_that_is_no_text_survives() -> None:
    text = dumps({"path": "bad\udcff.py"})

    assert json.loads(text.encode("utf-8")) == {"path": "bad\udcff.py"}


def test_information_has_a_line_for_every_fact() -> None:
    info = {
        "version": "1.0",
        "variants": {"avx2": {"built": True, "reason": None}},
        "features": ["avx2", "fma"],
    }

    assert [line.text for line in information_lines(info)] == [
        "version:  1.0",
        "variants:",
        "  avx2:",
        "    built:  yes",
        "    reason: -",
        "features: avx2, fma",
    ]
