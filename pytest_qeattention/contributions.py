"""What plugins contribute through the hooks, each called on its own, so that one that fails costs no other.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy
import pytest

from pytest_qeattention.similarity.model import Problem
from pytest_qeattention.similarity.workload import Workload

BUILTIN = "test-similarity"

# pytest.fail() and pytest.skip() in a hook are failures of that hook; pytest.exit() is not.
FAILURES = (Exception, pytest.fail.Exception, pytest.skip.Exception)


@dataclass(frozen=True, slots=True)
class Contribution:
    """Hold a workload and the name of the plugin that it comes from."""

    workload: Workload
    plugin: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what one plugin's implementation of a hook returned, or what it raised."""

    plugin: str
    value: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Contributions:
    """Hold the workloads of a run, by name."""

    config: pytest.Config
    by_name: dict[str, Contribution] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def gather(self, builtin: object) -> None:
        """Ask all plugins but *builtin* for their workloads."""
        for answer in self._call("pytest_qe_workloads", without=builtin):
            self._take(answer, is_builtin=False)

    def gather_builtin(self, builtin: object) -> None:
        """Ask the plugin *builtin*; apart from the others, because its workload imports numpy."""
        for answer in self._call("pytest_qe_workloads", only=builtin):
            if answer.error is not None:
                raise answer.error
            self._take(answer, is_builtin=True)

    def names(self) -> list[str]:
        """Return the names that ``--qe-workload`` may give."""
        return [BUILTIN, *sorted(name for name in self.by_name if name != BUILTIN)]

    def chosen(self, names: Sequence[str] | None) -> list[Contribution]:
        """Return the contributions of these names, or all: the built-in one first, the others by name."""
        return [
            self.by_name[name] for name in self.names() if name in self.by_name and (names is None or name in names)
        ]

    def tell(self, workload: Workload, groups: Sequence[object]) -> None:
        """Tell every plugin of the groups that a workload found."""
        for answer in self._call("pytest_qe_similar_groups", workload=workload, groups=groups):
            if answer.error is not None:
                self.blame(answer.plugin, "hook pytest_qe_similar_groups", answer.error, "the report stands")

    def blame(self, plugin: str, what: str, error: BaseException, consequence: str) -> None:
        """Note that something of a plugin raised."""
        root = self.config.rootpath
        path, line = plugin, None
        for frame in traceback.extract_tb(error.__traceback__):
            file = Path(frame.filename)
            if file.is_relative_to(root) and "site-packages" not in file.parts:
                path, line = file.relative_to(root).as_posix(), frame.lineno
        message = f"{what} of plugin {plugin} raised {_described(error)}; {consequence}"
        self.problems.append(Problem(path, message, line))

    def complain(self, plugin: str, message: str) -> None:
        """Note that something of a plugin is not what the hook promises."""
        self.problems.append(Problem(plugin, message))

    def _take(self, answer: Answer, *, is_builtin: bool) -> None:
        hook = f"hook pytest_qe_workloads of plugin {answer.plugin}"
        if answer.error is not None:
            self.blame(answer.plugin, "hook pytest_qe_workloads", answer.error, "its workloads are left out")
            return
        if answer.value is None:
            return
        if isinstance(answer.value, (str, bytes)) or not isinstance(answer.value, Sequence):
            self.complain(
                answer.plugin,
                f"{hook} returned {_typed(answer.value)}, not a list of pytest_qeattention.Workload; "
                "its workloads are left out",
            )
            return
        for workload in answer.value:
            name = getattr(workload, "name", None)
            if not isinstance(workload, Workload) or not isinstance(name, str) or not name:
                self.complain(
                    answer.plugin,
                    f"{hook} returned a list with {_typed(workload)}, not a pytest_qeattention.Workload "
                    "with a name; it is left out",
                )
            elif name in self.by_name or (name == BUILTIN and not is_builtin):
                owner = self.by_name[name].plugin if name in self.by_name else "pytest-qeattention itself"
                self.complain(
                    answer.plugin,
                    f"{hook} gave a workload named {name!r}, as {owner} does; it is left out, give it another name",
                )
            else:
                self.by_name[name] = Contribution(workload, answer.plugin)

    def _call(self, hook: str, *, only: object = None, without: object = None, **arguments: object) -> list[Answer]:
        """Call each implementation on its own, in pytest's order, and the wrappers once around all but *only*."""
        caller: pluggy.HookCaller = getattr(self.config.hook, hook)
        implementations = caller.get_hookimpls()
        wrappers = [each for each in implementations if each.wrapper or each.hookwrapper]
        chosen = [
            each
            for each in reversed(implementations)
            if each not in wrappers and each.plugin is not without and (only is None or each.plugin is only)
        ]
        given = {"config": self.config, **arguments}
        answers: list[Answer] = []

        def asking(each: pluggy.HookImpl) -> Callable[[], object]:
            def ask() -> object:
                name = self._plugin_name(each.plugin_name)
                try:
                    answer = Answer(name, each.function(*(given[argument] for argument in each.argnames)))
                except FAILURES as error:
                    answer = Answer(name, error=error)
                answers.append(answer)
                return answer.value

            return ask

        if wrappers and only is None:
            others = [each.plugin for each in implementations if each not in wrappers]
            around = self.config.pluginmanager.subset_hook_caller(hook, others)
            try:
                # pluggy calls what was added last first.
                around.call_extra([asking(each) for each in reversed(chosen)], given)
            except FAILURES as error:
                names = ", ".join(self._plugin_name(each.plugin_name) for each in wrappers)
                self.blame(names, f"a wrapper of hook {hook}", error, "the answers to the hook stand")
        # All of them, or those that a wrapper that raised has kept from being asked.
        for each in chosen[len(answers) :]:
            asking(each)()
        return answers

    def _plugin_name(self, registered: str) -> str:
        # A conftest is registered under its absolute path.
        path = Path(registered)
        root = self.config.rootpath
        return path.relative_to(root).as_posix() if path.is_absolute() and path.is_relative_to(root) else registered


def _described(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _typed(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    return f"a value of type {type(value).__name__}"
