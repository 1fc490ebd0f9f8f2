import socket

from raconteur.cli.doctor import _packages, _port, _program, examine
from raconteur.config.schema import Config


def test_examine_names_every_check_once():
    names = [finding.what for finding in examine(Config())]
    assert len(names) == len(set(names))
    assert {"python", "packages", "memory", "disk", "serve.port", "kubectl"} <= set(names)


def test_packages_other_version_than_the_lock_is_bad(tmp_path):
    lock = tmp_path / "constraints.txt"
    lock.write_text("typer==0.0.1\nnot-installed-at-all==1.0\n")
    finding = _packages(lock)
    assert finding.state == "bad"
    assert "lock: 0.0.1" in finding.detail
    assert "make env" in finding.detail
    assert "not-installed" not in finding.detail  # an extra that was not asked for


def test_packages_without_lock_is_no_failure(tmp_path):
    assert _packages(tmp_path / "constraints.txt").state == "absent"


def test_port_in_use_is_bad_and_free_is_ok():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        finding = _port("serve.port", "127.0.0.1", port)
        assert finding.state == "bad"
        assert str(port) in finding.detail
    assert _port("serve.port", "127.0.0.1", port).state == "ok"


def test_program_missing_is_absent_with_its_use():
    finding = _program("kubectl", "renders the manifests", which=lambda _: None)
    assert (finding.state, finding.detail) == ("absent", "not found: renders the manifests")
