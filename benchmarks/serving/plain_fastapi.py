"""What most write first: a FastAPI route with pydantic around the merged graph, one run a request, v2 JSON."""

from typing import Any

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.serving.floor import run
from benchmarks.serving.limit import merged
from benchmarks.serving.pair import NAME, make_pair


class Tensor(BaseModel):
    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class Request(BaseModel):
    inputs: list[Tensor]


def make_app() -> FastAPI:
    app = FastAPI()
    session = ort.InferenceSession(merged(make_pair()), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    @app.post(f"/v2/models/{NAME}/infer")
    async def infer(request: Request) -> dict[str, Any]:
        tensor = request.inputs[0]
        (scores,) = session.run(None, {name: np.array(tensor.data, np.float32).reshape(tensor.shape)})
        output = {"name": "logits", "datatype": "FP32", "shape": list(scores.shape), "data": scores.ravel().tolist()}
        return {"model_name": NAME, "outputs": [output]}

    return app


if __name__ == "__main__":
    run(make_app())
