"""Where each server listens: one rule for the stack, the manifests and the tests."""

LOOPBACK = "127.0.0.1"
GRPC_OFFSET = 10


def grpc_port(rest_port: int) -> int:
    """Port of a model server for gRPC, from its REST port."""
    return rest_port + GRPC_OFFSET
