"""`foreoptic doctor`: what Foreoptic can do with an ONNX file, before anything is registered.

One file a section. A section is a frozen dataclass and the function that finds it out; a section that cannot be found
out is a `Problem` in its place, and the others still stand. `case` knows which needs which, `examination` puts them
together, `printing` shows them. Nothing is registered and nothing is written.
"""
