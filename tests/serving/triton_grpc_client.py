"""A tritonclient over gRPC, in a process of its own: its messages have the same protobuf names as kserve's."""

import json
import sys

import numpy as np
import tritonclient.grpc as triton

address, model, text, *candidates = sys.argv[1:]
client = triton.InferenceServerClient(address)
ready = client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
metadata = client.get_model_metadata(model)
inputs = []
for name, value in (("text", [text]), ("candidates", [candidates])):
    array = np.array(value, dtype=object)
    tensor = triton.InferInput(name, list(array.shape), "BYTES")
    tensor.set_data_from_numpy(array)
    inputs.append(tensor)
result = client.infer(model, inputs, client_timeout=20)
version = result.get_response().parameters["version"].string_param
said = {"scores": result.as_numpy("scores").tolist(), "version": version}
said |= {"ready": ready, "inputs": [tensor.name for tensor in metadata.inputs]}
print(json.dumps(said))
