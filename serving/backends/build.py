"""Makes the ranker that the config names: the one place that knows which kinds there are.

Each kind is imported where it is chosen, so that a recommender with a student of its own loads neither torch nor the
clients of servers that it does not ask.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from raconteur.config.schema import BackendConfig, Config, ServeConfig
from raconteur.errors import ConfigError
from serving.backends.contract import Ranker
from serving.backends.verbalizer import KServeVerbalizer, VerbalizerClient
from serving.narration import VERBALIZER
from serving.ports import LOOPBACK, grpc_port

STUDENT_URL = "RACONTEUR_STUDENT_URL"  # environment: addresses of the servers where they are not on this machine
REASONER_URL = "RACONTEUR_REASONER_URL"
VERBALIZER_URL = "RACONTEUR_VERBALIZER_URL"
OPENAI_KEY = "RACONTEUR_OPENAI_KEY"  # environment: bearer token of a server of the OpenAI API

Name = Literal["student", "reasoner"]


def ranker_of(
    name: Name, backend: BackendConfig, config: Config, *, count: Callable[[str], None] = lambda _: None
) -> Ranker:
    """
    Args:
        count: told what becomes of each text of a local ranker in its cache of encodings.

    Raises:
        ConfigError: an address or key that cannot be one.
        ArtifactError: no usable champion.
    """
    models, model = config.workdir / "models", backend.model or name
    if backend.kind == "local":
        from serving.backends.local import open_local

        return open_local(name, models, max_texts=config.serve.cache_entries, count=count)
    url = backend.url or os.environ.get(STUDENT_URL if name == "student" else REASONER_URL)
    if backend.kind == "triton":
        return _triton(name, url or _own_grpc(name, config.serve), models, model)
    url = _web_address(name, url or f"http://{LOOPBACK}:{_port(name, config.serve)}")
    if backend.kind == "kserve":
        from serving.backends.kserve import KServeRanker

        return KServeRanker(name, url, model=model)
    from serving.backends.openai import open_openai

    return open_openai(name, url, models, model=model, key=_key())


def verbalizer_of(serve: ServeConfig, models: Path) -> VerbalizerClient | None:
    """Who writes narratives again; None: nobody.

    Raises:
        ConfigError: an address or key that cannot be one, or none for a server of the OpenAI API.
        ArtifactError: the champion's Verbalizer cannot be asked over the OpenAI API.
    """
    wanted = serve.verbalizer
    url = wanted.url or os.environ.get(VERBALIZER_URL)
    if url is None and serve.reasoner.kind == wanted.kind:
        url = serve.reasoner.url or os.environ.get(REASONER_URL) or f"http://{LOOPBACK}:{serve.reasoner_port}"
    if wanted.kind == "kserve":
        return None if url is None else KServeVerbalizer(_web_address(VERBALIZER, url), model=wanted.model)
    if url is None:
        raise ConfigError(
            f"serve.verbalizer.kind = 'openai' needs an address: set serve.verbalizer.url or {VERBALIZER_URL}"
        )
    from serving.backends.openai_verbalizer import open_openai_verbalizer

    return open_openai_verbalizer(_web_address(VERBALIZER, url), models, model=wanted.model, key=_key())


def _triton(name: Name, url: str, models: Path, model: str) -> Ranker:
    from serving.backends.triton import open_triton

    scheme, target = _split(name, url if "://" in url else f"grpc://{url}")
    if scheme not in ("grpc", "grpcs", "http", "https") or not target.rpartition(":")[2].isdigit():
        raise ConfigError(f"the {name} is at {url!r}; expected host:port of a Triton server, its port of gRPC")
    return open_triton(name, target, models, model=model, encrypted=scheme in ("grpcs", "https"))


def _web_address(name: str, url: str) -> str:
    scheme, _ = _split(name, url)
    if scheme not in ("http", "https"):
        raise ConfigError(f"the {name} is at {url!r}; expected http://host:port or https://host")
    return url


def _split(name: str, url: str) -> tuple[str, str]:
    """Scheme, and host with the port if there is one."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"the {name} is at {url!r}, which is no address: {error}") from None
    if not parts.hostname:
        raise ConfigError(f"the {name} is at {url!r}, which names no host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts.scheme, host if port is None else f"{host}:{port}"


def _key() -> str | None:
    key = os.environ.get(OPENAI_KEY, "").strip()
    if not (key.isascii() and key.isprintable()):  # refused here, where no message repeats it
        raise ConfigError(f"{OPENAI_KEY} holds characters that no header can carry; set the key alone")
    return key or None


def _port(name: Name, serve: ServeConfig) -> int:
    return serve.student_port if name == "student" else serve.reasoner_port


def _own_grpc(name: Name, serve: ServeConfig) -> str:
    return f"{LOOPBACK}:{grpc_port(_port(name, serve))}"
