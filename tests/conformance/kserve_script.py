"""What KServe's own client does against a running service. Runs in an environment of its own: `make conformance`."""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def ask(url: str, model: str, shape: list[int]) -> dict[str, object]:
    """Every call of the client, and the scores by JSON and by raw tensor."""
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=1, timeout=30))
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    found: dict[str, object] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model": await client.is_model_ready(url, model),
    }
    for name, is_binary in (("json", False), ("raw", True)):
        tensor = InferInput("image", shape, "FP32")
        tensor.set_data_from_numpy(x, binary_data=is_binary)
        request = InferRequest(model_name=model, infer_inputs=[tensor], parameters={"domain": "default"})
        answer = await client.infer(url, request, model_name=model)
        found[name] = answer.outputs[0].as_numpy().tolist()
    return found


if __name__ == "__main__":
    url, model, shape = sys.argv[1:]
    sys.stdout.write(json.dumps(asyncio.run(ask(url, model, json.loads(shape)))))
