"""Mappings and profiles that were adopted while running; those of the city pack stay in its files."""

from datetime import datetime
from typing import NamedTuple

from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from pulso.db.connection import Database
from pulso.db.sql import SQL


class DeviceDocument(NamedTuple):
    """One adopted document of the mapping language."""

    name: str
    document: str
    adopted_at: datetime
    adopted_by: str


class DocumentRepository:
    """Adopted documents by name; every change notifies `pulso_devices`. Every method raises StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> tuple[DeviceDocument, ...]:
        """All of them, in the order in which they were adopted."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["document_list"])
            return tuple(DeviceDocument(*row) for row in await cursor.fetchall())

    async def texts(self) -> dict[str, str]:
        """The TOML text of each, as `load_devices` takes it: of two for one topic, what was adopted last wins."""
        return {each.name: each.document for each in await self.list()}

    async def put(self, name: str, document: str, *, adopted_by: str = "") -> None:
        """Keep a document that has been checked, in the place of one of the same name."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await put(cursor, name, document, adopted_by=adopted_by)

    async def delete(self, name: str) -> bool:
        """Delete a document; False if there is none of that name."""
        async with self._database.connection() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL["document_delete"], {"name": name})
            deleted = bool(cursor.rowcount)
            if deleted:
                await cursor.execute(SQL["document_notify"])
            return deleted


async def put(cursor: AsyncCursor[TupleRow], name: str, document: str, *, adopted_by: str = "") -> None:
    """Keep a document within the caller's transaction; the workers are told by its COMMIT."""
    await cursor.execute(SQL["document_put"], {"name": name, "document": document, "adopted_by": adopted_by})
    await cursor.execute(SQL["document_notify"])
