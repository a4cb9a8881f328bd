"""The `pulso` command within the test's process, on one database."""

import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pulso.cli import main
from tests.support.databases import TestDatabase


@dataclass(frozen=True)
class Done:
    """What one run of the command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


class Command:
    """Runs `pulso ...` and keeps nothing of its environment."""

    def __init__(self, database: TestDatabase | None, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._environment = {
            "PULSO_HOME": str(home),
            "PULSO_DB_URL": database.dsn if database else "",
            "COLUMNS": "200",
        }

    def __call__(self, *arguments: str, answer: str = "", **environment: str) -> Done:
        self._capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("PULSO_")]:
                patch.delenv(name)
            for name, value in {**self._environment, **environment}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["pulso", *arguments])
            patch.setattr(sys, "stdin", io.StringIO(answer))
            code = 0
            try:
                main()
            except SystemExit as left:
                code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
        said = self._capsys.readouterr()
        return Done(code, said.out, said.err)
