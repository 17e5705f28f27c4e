"""The entry point: what every pytest run of the user pays for.

Thin on purpose, and built on the standard library and pytest alone; the rest is imported when a flag asks for
it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import pytest

from pytest_qeattention import options


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_qeattention import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


# First, because --qe-similar takes the distribution of tests away before pytest-xdist configures it.
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    is_analysis = options.analysis_asked_for(config)
    if options.defects_asked_for(config):
        from pytest_qeattention import defects_session

        defects_session.register(config)
    if is_analysis:
        from pytest_qeattention import session

        session.register(config)
