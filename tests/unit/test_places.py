"""Where a store is: which file that is, and what of a URL may be shown."""

from pathlib import Path

import pytest

from agentpool.support.places import file_of, without_secrets


@pytest.mark.parametrize(
    ("place", "file"),
    [
        ("pool.db", "pool.db"),
        ("a:b.db", "a:b.db"),
        ("sqlite:///pool.db", "pool.db"),
        ("SQLite:////srv/pool.db", "/srv/pool.db"),
        ("memory:", None),
        ("postgresql://host/db", None),
        ("Postgres:///db", None),
    ],
)
def test_a_place_is_a_file_or_none(place: str, file: str | None) -> None:
    assert file_of(place) == (None if file is None else Path(file))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@host/db",
        "postgresql://me:sec#?secret@host/db",
        "postgresql://me:p@secret@host/db",
        "postgresql://me:p/secret@host/db",
        "postgresql://me@host/db?password=secret",
        "postgresql://host:5432/db?user=a@b&password=secret",
        "postgresql://host?user=a@b&password=secret",
        "postgresql://host:5432?user=a@b&password=secret",
        "postgresql://me:x@host/db?sslpassword=secret\n",
    ],
)
def test_no_secret_is_in_the_name_of_a_place(url: str) -> None:
    assert "secret" not in without_secrets(url)
    assert without_secrets(url).startswith("postgresql://")


@pytest.mark.parametrize("place", ["pool.db", "/srv/what?.db", "a@b.db", "postgresql://host/db"])
def test_a_place_without_secrets_is_named_as_it_is(place: str) -> None:
    assert without_secrets(place) == place
