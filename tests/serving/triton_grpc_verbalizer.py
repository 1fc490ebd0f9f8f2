"""A tritonclient over gRPC, in a process of its own: its messages have the same protobuf names as kserve's."""

import json
import sys

import numpy as np
import tritonclient.grpc as triton

address, *histories = sys.argv[1:]
client = triton.InferenceServerClient(address)
tensor = triton.InferInput("history", [len(histories)], "BYTES")
tensor.set_data_from_numpy(np.array(histories, dtype=object))
result = client.infer("verbalizer", [tensor], client_timeout=20)
parameters = result.get_response().parameters
texts = [text.decode() for text in result.as_numpy("text").tolist()]
print(json.dumps({"text": texts, "version": parameters["version"].string_param}))
