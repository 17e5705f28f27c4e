"""What can be asked of a benchmark."""

from __future__ import annotations

import argparse
import os

import pytest

from pytest_qeattention.bench import plan
from pytest_qeattention.bench.plan import BenchUsage, Plan


def read(*arguments: str) -> Plan:
    parser = argparse.ArgumentParser()
    plan.add_arguments(parser)
    return plan.read_plan(parser.parse_args(arguments), None)


def test_nothing_asked_for_is_comprehensive() -> None:
    assert read() == Plan(suite="comprehensive", samples=30, peers=None, shapes=None)


def test_a_quick_run_takes_few_samples() -> None:
    asked = read("--quick")

    assert asked.quick
    assert asked.samples == plan.QUICK_SAMPLES


def test_shapes_and_peers() -> None:
    asked = read("--shapes", "1,8,512,64", "--shapes", "2, 1, 7, 3", "--peers", "torch, numpy,torch")

    assert asked.shapes == ((1, 8, 512, 64), (2, 1, 7, 3))
    assert asked.peers == ("torch", "numpy")
    assert read("--peers", "none").peers == ()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("90", 90), ("1.5m", 90), ("2min", 120), ("2h", 7200), ("0.5s", 0.5)]
)
def test_durations(text: str, seconds: float) -> None:
    assert read("stress", "--duration", text).duration_s == seconds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers", "jax"], "'jax', which is no peer; available: numpy, torch, onnxruntime, faiss, usearch, or none"),
        (["--peers", ""], "available: numpy"),
        (["--peers", "numpy,"], "available: numpy"),
        (["--shapes", "1,8,512"], "expected B,H,N,D"),
        (["--shapes", "1,8,0,64"], "above zero"),
        (["--shapes", "1,8,-5,64"], "above zero"),
        (["--shapes", "1,8,5.5,64"], "whole numbers"),
        (["--shapes", "1,8,١٢,64"], "whole numbers"),
        (["--shapes", ""], "expected B,H,N,D"),
        (["--shapes", "1,8,999999999,64"], "at most 268435456"),
        (["--shapes", "9999999999999999999999,1,1,1"], "expected B,H,N,D"),
        (["--samples", "29"], "--samples is '29', not a whole number from 30"),
        (["--samples", "40", "--quick"], "leave out --samples"),
        (["memory", "--max-n", "0"], "--max-n is '0'"),
        (["memory", "--max-n", "999999999"], "--max-n is '999999999'"),
        (["memory", "--peers", "torch"], "--peers has no meaning for bench memory; it belongs to comprehensive"),
        (["--max-n", "4096"], "it belongs to memory"),
        (["--duration", "1s"], "it belongs to stress"),
        (["memory", "--compare", "x"], "--compare has no meaning"),
        (["stress", "--duration", "0"], "above zero"),
        (["stress", "--duration=-3s"], "--duration is '-3s'"),
        (["stress", "--duration", "nan"], "--duration is 'nan'"),
        (["stress", "--duration", "900000h"], "up to 7 days"),
        (["stress", "--seed", "x"], "--seed is 'x'"),
        (["stress", "--seed", "4294967296"], "--seed is"),
        (["--fail-on-regression"], "needs --compare"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_asked(arguments: list[str], message: str) -> None:
    with pytest.raises(BenchUsage) as error:
        read(*arguments)

    assert message in str(error.value)


def test_the_threads_of_blas_are_asked_for_before_numpy_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in plan.BLAS_SETTINGS:
        monkeypatch.setenv(name, "7")
    plan.limit_blas(3)
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7"  # numpy is loaded here, so the setting would be a lie

    monkeypatch.delitem(__import__("sys").modules, "numpy")
    plan.limit_blas(None)
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7"
    plan.limit_blas(3)
    assert {os.environ[name] for name in plan.BLAS_SETTINGS} == {"3"}
