"""An unchanged tritonclient that asks a recommender everything over gRPC and prints what it got as JSON.

In a process of its own: its messages have the same protobuf names as kserve's.
"""

import json
import sys

import numpy as np
import tritonclient.grpc as triton

address, user_id, *headers = sys.argv[1:]
client = triton.InferenceServerClient(address)
user = triton.InferInput("user_id", [1], "BYTES")
user.set_data_from_numpy(np.array([user_id], dtype=object))
metadata = client.get_model_metadata("recommender")
answer = {
    "live": client.is_server_live(),
    "ready": client.is_server_ready(),
    "model_ready": client.is_model_ready("recommender"),
    "server": client.get_server_metadata().name,
    "inputs": [one.name for one in metadata.inputs],
    "outputs": [one.name for one in metadata.outputs],
    "versions": list(metadata.versions),
}
result = client.infer(
    "recommender",
    [user],
    parameters={"k": 2},
    headers=dict(header.split("=", 1) for header in headers),
    client_timeout=20,
)
answer["items"] = result.as_numpy("items").tolist()[0]
answer["items"] = [item.decode() for item in answer["items"]]
answer["scores"] = result.as_numpy("scores").tolist()[0]
answer["route"] = result.get_response().parameters["route"].string_param
print(json.dumps(answer))
