"""A tritonclient over gRPC, in a process of its own: its messages have the same protobuf names as kserve's."""

import json
import sys

import numpy as np
import tritonclient.grpc as triton

address, model, text, *candidates = sys.argv[1:]
client = triton.InferenceServerClient(address)
inputs = []
for name, value in (("text", [text]), ("candidates", [candidates])):
    array = np.array(value, dtype=object)
    tensor = triton.InferInput(name, list(array.shape), "BYTES")
    tensor.set_data_from_numpy(array)
    inputs.append(tensor)
result = client.infer(model, inputs, client_timeout=20)
version = result.get_response().parameters["version"].string_param
print(json.dumps({"scores": result.as_numpy("scores").tolist(), "version": version}))
