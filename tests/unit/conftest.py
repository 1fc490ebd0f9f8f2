"""A language model as Hugging Face stores one, of random weights and a few thousand parameters, made on the spot."""

import pytest

from raconteur.train.smoke import random_base


@pytest.fixture(scope="session")
def chat_base(tmp_path_factory):
    """Folder of a base with a chat template."""
    return random_base(tmp_path_factory.mktemp("chat-base"), "tiny")


@pytest.fixture(scope="session")
def plain_base(tmp_path_factory):
    """Folder of a base that was never taught to chat."""
    return random_base(tmp_path_factory.mktemp("plain-base"), "tiny", chat_template=None)
