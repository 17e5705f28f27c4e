"""What the SQLite databases of a cache directory have in common.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def format_of(database: sqlite3.Connection) -> tuple[int, int]:
    """Return the application and the format that *database* says it is of; both are 0 for a new one.

    Two reads: only within a transaction do they belong to one state of the file.
    """
    application, version = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("application_id", "user_version")
    )
    return application, version


def set_format(database: sqlite3.Connection, application: int, version: int) -> None:
    """Say within a transaction which application and format *database* is of."""
    database.execute(f"PRAGMA application_id = {application}")
    database.execute(f"PRAGMA user_version = {version}")


def use_write_ahead_log(database: sqlite3.Connection) -> None:
    """Let readers and a writer of *database* not wait for each other, unless somebody is in it at this moment.

    SQLite refuses the change at once, timeout or not, while others use the file; it then works as before, by a
    rollback journal, and whoever opens it next tries again.
    """
    import sqlite3

    if database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        with contextlib.suppress(sqlite3.OperationalError):
            database.execute("PRAGMA journal_mode = WAL")
