"""Open Inference Protocol v2 as bytes: what a request says, what an answer says. Knows no HTTP and no model's session.

`request.py` reads, `answer.py` writes, `compression.py` stands around both. Rules that the specification leaves open
are those of Triton's own client, which sends and expects binary tensors unless told otherwise.
"""
