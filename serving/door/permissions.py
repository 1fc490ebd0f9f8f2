"""Which scope a key needs for which path; REST and gRPC in one table.

The console's page holds no data and a browser sends no key with a navigation, so the page is open and what it then asks
for is not. What no row names needs the scope `admin`: a path that somebody adds is closed until it stands here.
"""

from fnmatch import fnmatchcase

from raconteur.scopes import Scope

GRPC = "/inference.GRPCInferenceService"  # a gRPC call is a POST of /service/Method
OPEN = None

# Method, path, scope; the first row that fits counts. `*` stands for anything, slashes too.
PERMISSIONS: tuple[tuple[str, str, Scope | None], ...] = (
    ("POST", "/v1/recommendations", Scope.RECOMMEND),
    ("POST", "/v2/models/*/infer", Scope.RECOMMEND),
    ("POST", f"{GRPC}/ModelInfer", Scope.RECOMMEND),
    ("POST", "/v1/events", Scope.EVENTS),
    ("GET", "/v1/users", Scope.CONSOLE),
    ("GET", "/v1/users/*", Scope.CONSOLE),
    ("GET", "/v1/catalogue/*", Scope.CONSOLE),
    ("GET", "/v1/controls", Scope.CONSOLE),
    ("POST", "/v1/inspect", Scope.CONSOLE),
    ("GET", "/metrics", Scope.METRICS),
    ("GET", "/v1/status", Scope.METRICS),
    ("GET", "/", OPEN),
    ("GET", "/healthz", OPEN),
    ("GET", "/openapi.json", OPEN),
    ("GET", "/docs", OPEN),
    ("GET", "/docs/*", OPEN),
    ("GET", "/console", OPEN),
    ("GET", "/console/assets/*", OPEN),
    ("GET", "/v2", OPEN),
    ("GET", "/v2/health/*", OPEN),
    ("GET", "/v2/models/*", OPEN),  # metadata and readiness
    ("POST", f"{GRPC}/ServerLive", OPEN),
    ("POST", f"{GRPC}/ServerReady", OPEN),
    ("POST", f"{GRPC}/ServerMetadata", OPEN),
    ("POST", f"{GRPC}/ModelReady", OPEN),
    ("POST", f"{GRPC}/ModelMetadata", OPEN),
)


def needed_scope(method: str, path: str) -> Scope | None:
    """The scope that a key needs, None where no key is asked for; HEAD reads what GET reads."""
    method = "GET" if method == "HEAD" else method
    return next(
        (scope for wanted, pattern, scope in PERMISSIONS if method == wanted and fnmatchcase(path, pattern)),
        Scope.ADMIN,
    )


def is_shed(method: str, path: str) -> bool:
    """Whether a request may be turned away in an overload: health, metrics and pages must answer then all the more."""
    return needed_scope(method, path) not in (OPEN, Scope.METRICS)
