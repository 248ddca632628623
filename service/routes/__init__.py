"""HTTP: one module a resource. Routes read requests and write answers; what happens in between happens elsewhere."""
