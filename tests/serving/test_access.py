"""Who may do what at the door: scopes, keys that come and go, rates. The clock is the test's; the keys file is real."""

import base64
import json
import os

import pytest
from waiting import Clock

from raconteur.errors import ConfigError
from raconteur.keys import add_key, new_key, read_keys, remove_key
from raconteur.scopes import Scope
from serving.door.access import Access, refuse_open_host, token_of
from serving.door.permissions import GRPC, OPEN, is_shed, needed_scope

ASK = ("POST", "/v1/recommendations")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "serving" / "keys.json"


@pytest.fixture
def issue(path):
    """Adds a key to the file and gives the headers that its holder sends."""

    def run(name, *scopes, rate=1000.0, burst=1000):
        key, token = new_key(name, scopes, rate_per_s=rate, burst=burst)
        add_key(path, key)
        return {"authorization": f"Bearer {token}"}

    return run


@pytest.fixture
def access(path, clock):
    return Access(path, keys_needed=True, clock=clock)


@pytest.mark.parametrize(
    ("method", "asked", "scope"),
    [
        ("POST", "/v1/recommendations", Scope.RECOMMEND),
        ("POST", "/v2/models/recommender/infer", Scope.RECOMMEND),
        ("POST", "/v2/models/recommender/versions/7/infer", Scope.RECOMMEND),
        ("POST", f"{GRPC}/ModelInfer", Scope.RECOMMEND),
        ("POST", "/v1/events", Scope.EVENTS),
        ("GET", "/v1/users", Scope.CONSOLE),
        ("GET", "/v1/users/a/b", Scope.CONSOLE),
        ("GET", "/v1/catalogue/categories", Scope.CONSOLE),
        ("GET", "/v1/controls", Scope.CONSOLE),
        ("POST", "/v1/inspect", Scope.CONSOLE),
        ("GET", "/metrics", Scope.METRICS),
        ("HEAD", "/metrics", Scope.METRICS),
        ("GET", "/v1/status", Scope.METRICS),
        ("GET", "/healthz", OPEN),
        ("GET", "/v2/health/live", OPEN),
        ("GET", "/v2/health/ready", OPEN),
        ("GET", "/v2/models/recommender/ready", OPEN),
        ("GET", "/docs", OPEN),
        ("GET", "/docs/assets/swagger-ui.css", OPEN),
        ("GET", "/console", OPEN),
        ("POST", f"{GRPC}/ServerReady", OPEN),
        # what the table does not name is closed, also near what it names
        ("GET", "/v1/recommendations", Scope.ADMIN),
        ("DELETE", "/v1/events", Scope.ADMIN),
        ("POST", "/v1/events/", Scope.ADMIN),
        ("POST", "//v1/recommendations", Scope.ADMIN),
        ("POST", "/V1/recommendations", Scope.ADMIN),
        ("GET", "/v1/usersx", Scope.ADMIN),
        ("POST", "/docs", Scope.ADMIN),
        ("POST", f"{GRPC}/RepositoryModelUnload", Scope.ADMIN),
        ("GET", "/v1/something-new", Scope.ADMIN),
    ],
)
def test_needed_scope_by_method_and_path(method, asked, scope):
    assert needed_scope(method, asked) == scope


def test_is_shed_spares_health_metrics_and_pages():
    assert is_shed("POST", "/v1/recommendations")
    assert is_shed("GET", "/v1/users")
    assert is_shed("GET", "/made/up")
    assert not any(is_shed("GET", one) for one in ("/metrics", "/healthz", "/v2/health/ready", "/docs", "/v1/status"))


def test_decide_key_passes_within_its_scopes_only(access, issue):
    headers = issue("app", Scope.RECOMMEND, Scope.EVENTS)
    assert (access.decide(*ASK, headers).status, access.decide(*ASK, headers).key) == (200, "app")
    assert access.decide("POST", "/v1/events", headers).passes
    refused = access.decide("GET", "/metrics", headers)
    assert refused.status == 403
    assert refused.error == "key 'app' has no scope 'metrics', which this path needs"
    assert refused.headers["www-authenticate"].endswith('error="insufficient_scope", scope="metrics"')


def test_decide_admin_may_do_everything(access, issue):
    headers = issue("chief", Scope.ADMIN)
    paths = [ASK, ("POST", "/v1/events"), ("GET", "/metrics"), ("GET", "/v1/users"), ("GET", "/v1/something-new")]
    assert all(access.decide(*one, headers).passes for one in paths)


def test_decide_same_answer_whatever_is_wrong_with_the_key(access, issue, path):
    gone = issue("gone", Scope.RECOMMEND)
    right = issue("app", Scope.RECOMMEND)["authorization"]
    remove_key(path, "gone")
    [app] = read_keys(path)
    wrong = [
        {},
        gone,
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": right[:-1]},
        {"authorization": right + "x"},
        {"authorization": right.replace("Bearer", "Basic")},
        {"authorization": "Basic " + base64.b64encode(b"app:" + right.split()[1].encode()).decode()},
        {"authorization": f"Bearer {app.sha256}"},  # what stands in the file opens nothing
        {"authorization": "Bearer \u00e9\udcff"},
        {"x-api-key": ""},
        {"x-api-key": "wrong", "authorization": right},
    ]
    [answer] = {json.dumps([one.status, one.error, *one.headers.items()]) for one in map(decide(access), wrong)}
    assert json.loads(answer)[0] == 401
    assert ["www-authenticate", 'Bearer realm="raconteur"'] in json.loads(answer)
    assert access.decide(*ASK, {"authorization": right}).passes


def decide(access):
    return lambda headers: access.decide(*ASK, headers)


def test_token_of_either_header():
    assert token_of({"authorization": "Bearer abc"}) == "abc"
    assert token_of({"authorization": "bearer  abc "}) == "abc"
    assert token_of({"x-api-key": "abc"}) == "abc"
    assert token_of({"authorization": "Digest abc"}) == ""


def test_decide_grpc_metadata_by_the_same_rules(access, issue):
    token = issue("app", Scope.RECOMMEND)["authorization"].split()[1]
    metadata = (("user-agent", "grpc-python"), ("x-api-key", token), ("trace-bin", b"\x00"))
    assert access.decide("POST", f"{GRPC}/ModelInfer", dict(metadata)).passes
    assert access.decide("POST", f"{GRPC}/ModelInfer", {}).status == 401
    assert access.decide("POST", f"{GRPC}/ServerLive", {}).passes


def test_decide_keys_come_and_go_while_it_runs(access, issue, path):
    first = issue("first", Scope.RECOMMEND)
    assert access.decide(*ASK, first).passes
    second = issue("second", Scope.RECOMMEND)
    assert access.decide(*ASK, second).passes
    remove_key(path, "first")
    assert access.decide(*ASK, first).status == 401
    assert access.decide(*ASK, second).passes
    remove_key(path, "second")
    assert access.decide(*ASK, second).status == 401  # a file without keys lets nobody in


def test_decide_change_with_the_old_size_and_time_is_seen(access, issue, path):
    headers = issue("app", Scope.RECOMMEND)
    assert access.decide(*ASK, headers).passes
    before, [key] = path.stat(), read_keys(path)
    path.write_text(path.read_text().replace(key.sha256, "0" * 64))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert access.decide(*ASK, headers).status == 401


def test_decide_without_a_file_only_where_no_keys_are_needed(path, access, issue):
    assert Access(path, keys_needed=False).decide(*ASK, {}).passes
    assert access.decide(*ASK, {}).status == 503
    assert access.decide("GET", "/healthz", {}).passes
    headers = issue("app", Scope.RECOMMEND)
    assert access.decide(*ASK, headers).passes


def test_decide_file_that_appears_closes_an_open_door_for_good(path, issue):
    access = Access(path, keys_needed=False)
    assert access.decide(*ASK, {}).passes
    headers = issue("app", Scope.RECOMMEND)
    assert access.decide(*ASK, {}).status == 401
    path.unlink()
    assert access.decide(*ASK, {}).status == 503
    assert access.decide(*ASK, headers).status == 503


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"keys": [{"name": "app"}]}',
        b'{"keys": [], "open": true}',
        b'{"keys": [{"name": "a", "sha256": "", "scopes": ["admin"], "rate_per_s": 1, "burst": 1, '
        b'"created": "2026-01-01T00:00:00Z"}]}',
    ],
)
def test_decide_broken_file_lets_nobody_in_until_it_is_whole(access, issue, path, content, caplog):
    headers = issue("app", Scope.RECOMMEND)
    whole = path.read_bytes()
    assert access.decide(*ASK, headers).passes
    path.write_bytes(content)
    refused = [access.decide(*ASK, headers) for _ in range(3)]
    assert {one.status for one in refused} == {503}
    assert "retry-after" in refused[0].headers
    assert str(path) not in refused[0].error
    assert access.decide("GET", "/healthz", headers).passes
    assert len([record for record in caplog.records if "keys.json" in record.message]) == 1  # told once, not thrice
    path.write_bytes(whole)
    assert access.decide(*ASK, headers).passes


def test_decide_folder_in_place_of_the_file_lets_nobody_in(path):
    path.mkdir(parents=True)
    assert Access(path, keys_needed=False).decide(*ASK, {}).status == 503


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_decide_file_without_permission_lets_nobody_in_until_it_is_given(access, issue, path):
    headers = issue("app", Scope.RECOMMEND)
    path.chmod(0)
    assert access.decide(*ASK, headers).status == 503
    path.chmod(0o600)  # changes no mtime
    assert access.decide(*ASK, headers).passes


def test_decide_rate_of_a_key_is_its_own(access, issue, clock):
    slow, fast = issue("slow", Scope.RECOMMEND, rate=0.5, burst=2), issue("fast", Scope.RECOMMEND)
    assert [access.decide(*ASK, slow).status for _ in range(3)] == [200, 200, 429]
    refused = access.decide(*ASK, slow)
    assert refused.headers == {"retry-after": "2"}  # one request in two seconds
    assert refused.error == "key 'slow' may send 0.5 requests a second, 2 at once"
    assert access.decide(*ASK, fast).passes
    clock.now_s += 1.5
    assert access.decide(*ASK, slow).headers == {"retry-after": "1"}  # half a second, rounded up
    clock.now_s += 0.5
    assert [access.decide(*ASK, slow).status for _ in range(2)] == [200, 429]


def test_decide_refused_scope_costs_nothing_of_the_rate(access, issue):
    headers = issue("app", Scope.RECOMMEND, rate=1.0, burst=1)
    assert [access.decide("GET", "/metrics", headers).status for _ in range(5)] == [403] * 5
    assert access.decide(*ASK, headers).passes


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.3", "::1", "localhost"])
def test_refuse_open_host_loopback_needs_nothing(host):
    refuse_open_host(host, public=False, keys=None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.1.2.3", "example.org", "127.0.0.1.example.org", "0"])
def test_refuse_open_host_others_need_the_flag_and_keys(host):
    key, _ = new_key("app", [Scope.RECOMMEND], rate_per_s=1.0, burst=1)
    with pytest.raises(ConfigError, match=r"serve\.public = true"):
        refuse_open_host(host, public=False, keys=[key])
    for none in (None, ()):
        with pytest.raises(ConfigError, match="raconteur keys add"):
            refuse_open_host(host, public=True, keys=none)
    refuse_open_host(host, public=True, keys=[key])
