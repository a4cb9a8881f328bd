"""The only code that speaks SQL: pool, migrations, and one repository per table family."""

from pulso.db.connection import Database, connect_forever, listen, open_database
from pulso.db.migrate import migrate, pending

__all__ = ["Database", "connect_forever", "listen", "migrate", "open_database", "pending"]
