import functools
import gzip
import importlib.util
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from raconteur.data.readers import files
from raconteur.data.readers.movielens import read_movielens
from raconteur.errors import DataError


@pytest.fixture
def web_folder(movielens_folder: Path) -> Iterator[str]:
    """The MovieLens folder behind a real HTTP server, its ratings as gzip."""
    ratings = movielens_folder / "ratings.csv"
    (movielens_folder / "ratings.csv.gz").write_bytes(gzip.compress(ratings.read_bytes()))
    ratings.unlink()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=movielens_folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_read_movielens_over_http_equals_the_local_folder(web_folder: str, movielens_folder: Path) -> None:
    remote, local = read_movielens(web_folder), read_movielens(str(movielens_folder))
    assert remote.events.equals(local.events)
    assert remote.source == f"{web_folder}/ratings.csv.gz"


def test_read_bytes_missing_remote_file_is_a_data_error(web_folder: str) -> None:
    with pytest.raises(DataError, match=r"nothing\.csv cannot be read: FileNotFoundError"):
        files.read_bytes(f"{web_folder}/nothing.csv")


def test_read_bytes_server_that_is_gone_is_a_data_error() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        port = server.server_port
    with pytest.raises(DataError, match=r"cannot be read: ClientConnectorError.*check data.path and your access"):
        files.read_bytes(f"http://127.0.0.1:{port}/ratings.csv")


@pytest.mark.parametrize(("protocol", "package"), [("s3", "s3fs"), ("gs", "gcsfs")])
def test_find_store_without_its_package_says_which(protocol: str, package: str) -> None:
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed here")
    with pytest.raises(DataError, match=f"{protocol}:// is not available.*{package}"):
        files.find(f"{protocol}://bucket/folder", "ratings.csv")


def test_find_unknown_protocol_is_a_data_error() -> None:
    with pytest.raises(DataError, match="gopher:// is not available"):
        files.find("gopher://host/folder", "ratings.csv")


def test_require_missing_file_lists_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "README").touch()
    with pytest.raises(DataError, match=r"holds no movies\.csv or movies\.csv\.gz; it holds README; check data.path"):
        files.require(str(tmp_path), "movies.csv")


def test_names_missing_folder_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be listed: FileNotFoundError"):
        files.names(str(tmp_path / "nothing"))


def test_in_memory_store_is_read_like_a_folder() -> None:
    import fsspec

    with fsspec.open("memory://logs/ratings.csv", "wb") as file:
        file.write(b"a,b\n")
    assert files.names("memory://logs") == ["ratings.csv"]
    assert files.is_folder("memory://logs")
    assert files.read_bytes(files.require("memory://logs", "ratings.csv")) == b"a,b\n"
