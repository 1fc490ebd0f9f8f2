"""Which ranker a config names, and where it asks."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from backend_servers import answering, http_answer
from backend_world import write_light
from serving_world import write_version

from raconteur.config.schema import BackendConfig, Config, ServeConfig, WriterConfig
from raconteur.errors import ArtifactError, ConfigError, ServingError
from raconteur.types import Event, History
from serving.backends.build import (
    OPENAI_KEY,
    REASONER_URL,
    STUDENT_URL,
    VERBALIZER_URL,
    ranker_of,
    verbalizer_of,
)

ANSWER = {
    "model_name": "student",
    "parameters": {"version": "v7"},
    "outputs": [{"name": "scores", "datatype": "FP32", "shape": [1, 1], "data": [0.5]}],
}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in (STUDENT_URL, REASONER_URL, VERBALIZER_URL, OPENAI_KEY):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def workdir(tmp_path):
    write_light(tmp_path / "models", "v1").promote("v1", cause="test")
    return tmp_path


def asked_at(port_of, backend, config):
    """The first line that a server at the port, put where the test wants it, is asked."""

    async def story():
        async with answering(http_answer(json.dumps(ANSWER).encode())) as (port, asked):
            ranker = ranker_of("student", *port_of(port, backend, config))
            try:
                await ranker.score("text", ["i1"], timeout_s=20)
            except ServingError:
                pass
            finally:
                await ranker.close()
            return asked[0].splitlines()[0].decode() if asked else None

    return asyncio.run(story())


def test_address_of_the_stack_is_where_kserve_is_asked_by_default(workdir):
    def at(port, backend, config):
        return backend, config.model_copy(update={"serve": config.serve.model_copy(update={"student_port": port})})

    line = asked_at(at, BackendConfig(kind="kserve"), Config(workdir=workdir))
    assert line == "POST /v2/models/student/infer HTTP/1.1"


def test_address_of_the_environment_comes_before_the_stacks(workdir, monkeypatch):
    def at(port, backend, config):
        monkeypatch.setenv(STUDENT_URL, f"http://127.0.0.1:{port}/")
        return backend, config

    line = asked_at(at, BackendConfig(kind="kserve", model="a/b"), Config(workdir=workdir))
    assert line == "POST /v2/models/a%2Fb/infer HTTP/1.1"


def test_address_of_the_config_comes_before_the_environments(workdir, monkeypatch):
    monkeypatch.setenv(STUDENT_URL, "http://127.0.0.1:1")

    def at(port, backend, config):
        return backend.model_copy(update={"url": f"http://127.0.0.1:{port}"}), config

    assert asked_at(at, BackendConfig(kind="kserve"), Config(workdir=workdir)).startswith("POST /v2/models/student")


def test_environment_of_the_reasoner_is_its_own(workdir, monkeypatch):
    monkeypatch.setenv(REASONER_URL, "no address")
    ranker_of("student", BackendConfig(kind="kserve"), Config(workdir=workdir))
    with pytest.raises(ConfigError, match="the reasoner is at 'no address'"):
        ranker_of("reasoner", BackendConfig(kind="kserve"), Config(workdir=workdir))


@pytest.mark.parametrize("kind", ["kserve", "openai"])
@pytest.mark.parametrize("url", ["", "localhost:80", "ftp://host", "http://", "http://host:port", "http://[::1"])
def test_web_address_that_is_none_is_refused_by_name(kind, url, workdir):
    backend = BackendConfig(kind=kind, url=url or "://")
    with pytest.raises(ConfigError, match="the student is at"):
        ranker_of("student", backend, Config(workdir=workdir))


@pytest.mark.parametrize("url", ["host", "http://host", "host:port", "unix:///tmp/x:1", ":8001", "[::1]"])
def test_triton_address_that_is_none_is_refused_by_name(url, workdir):
    with pytest.raises(ConfigError, match="the student is at"):
        ranker_of("student", BackendConfig(kind="triton", url=url), Config(workdir=workdir))


@pytest.mark.parametrize("url", ["host:8001", "grpc://host:8001", "https://host:8001/", "[::1]:8001"])
def test_triton_address_with_its_port_is_taken(url, workdir):
    ranker = ranker_of("student", BackendConfig(kind="triton", url=url), Config(workdir=workdir))
    asyncio.run(ranker.close())


def test_key_that_no_header_can_carry_is_refused_and_not_repeated(workdir, monkeypatch):
    monkeypatch.setenv(OPENAI_KEY, "sk-secret\r\nX-Evil: 1")
    with pytest.raises(ConfigError, match=OPENAI_KEY) as refusal:
        ranker_of("reasoner", BackendConfig(kind="openai"), Config(workdir=workdir))
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("kind", ["local", "triton", "openai"])
def test_without_a_champion_the_kinds_that_read_its_folder_say_so(kind, tmp_path):
    with pytest.raises(ArtifactError, match="has no champion yet"):
        ranker_of("student", BackendConfig(kind=kind), Config(workdir=tmp_path))


@pytest.mark.parametrize("name", ["student", "reasoner"])
def test_local_champion_that_holds_no_such_model_is_refused(name, tmp_path):
    write_version(tmp_path / "models", "v1").promote("v1", cause="test")
    with pytest.raises(ArtifactError):
        ranker_of(name, BackendConfig(kind="local"), Config(workdir=tmp_path))


# Who writes narratives again

HISTORY = History("ann", (Event("i1", datetime(2025, 3, 1, tzinfo=UTC), "play"),))


def asked_to_write(port_of, serve):
    """The first line that a server at the port, put where the test wants it, is asked to write."""

    async def story():
        async with answering(http_answer(b"{}")) as (port, asked):
            verbalizer = verbalizer_of(port_of(port, serve), Path("models"))
            with pytest.raises(ServingError):
                await verbalizer.write(HISTORY, timeout_s=20)
            await verbalizer.close()
            return asked[0].splitlines()[0].decode()

    return asyncio.run(story())


def test_writer_by_default_is_the_server_of_the_kserve_reasoner():
    def at(port, serve):
        return serve.model_copy(update={"reasoner_port": port})

    assert asked_to_write(at, ServeConfig()) == "POST /v2/models/verbalizer/infer HTTP/1.1"


def test_writer_of_the_config_comes_before_the_environments_and_that_before_the_reasoners(monkeypatch):
    reasoner = BackendConfig(kind="kserve", url="http://127.0.0.1:1")

    def environment(port, serve):
        monkeypatch.setenv(VERBALIZER_URL, f"http://127.0.0.1:{port}")
        return serve

    asked_to_write(environment, ServeConfig(reasoner=reasoner))
    monkeypatch.setenv(VERBALIZER_URL, "http://127.0.0.1:1")

    def config(port, serve):
        writer = WriterConfig(url=f"http://127.0.0.1:{port}", model="a/b")
        return serve.model_copy(update={"verbalizer": writer})

    assert asked_to_write(config, ServeConfig(reasoner=reasoner)) == "POST /v2/models/a%2Fb/infer HTTP/1.1"


def test_writer_of_a_reasoner_of_another_kind_is_nobody(tmp_path):
    assert verbalizer_of(ServeConfig(reasoner=BackendConfig(kind="local")), tmp_path) is None


def test_writer_over_the_openai_api_without_an_address_is_refused_with_the_way_out(workdir):
    serve = ServeConfig(verbalizer=WriterConfig(kind="openai"))
    with pytest.raises(ConfigError, match=r"set serve\.verbalizer\.url or RACONTEUR_VERBALIZER_URL"):
        verbalizer_of(serve, workdir / "models")


def test_writer_over_the_openai_api_of_a_champion_without_one_is_refused(workdir):
    serve = ServeConfig(verbalizer=WriterConfig(kind="openai", url="http://127.0.0.1:1"))
    with pytest.raises(ArtifactError, match="no readable Verbalizer"):
        verbalizer_of(serve, workdir / "models")
