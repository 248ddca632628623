# Two images from one source: `service` answers requests and holds no torch, `trainer` does adaptation jobs.
# docs/deploy.md says how to build and run them. BASE takes a digest, too: python:3.11-slim-bookworm@sha256:...
ARG BASE=python:3.11.14-slim-bookworm
ARG ACCELERATOR=cpu

# The project alone, built once, installed where both images have it.
FROM ${BASE} AS project
WORKDIR /build
COPY pyproject.toml README.md ./
COPY foreoptic foreoptic
COPY service service
COPY trainer trainer
COPY models models
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-deps .

# What it depends on, in a layer of its own: a change of the source does not install it again.
FROM ${BASE} AS dependencies
ARG ACCELERATOR
WORKDIR /build
COPY pyproject.toml constraints.txt deploy/requirements.py ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/venv \
    && python requirements.py "$ACCELERATOR" > service.txt \
    && pip --python /opt/venv/bin/python install --constraint constraints.txt --requirement service.txt

# torch's own index has the wheels without CUDA; torch alone comes from there: a second index could shadow any package.
# With CUDA it comes from PyPI like everything else.
FROM dependencies AS trainer-dependencies
ARG ACCELERATOR
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN --mount=type=cache,target=/root/.cache/pip \
    python requirements.py "$ACCELERATOR" trainer > trainer.txt \
    && if [ "$ACCELERATOR" = cpu ]; then \
        pip --python /opt/venv/bin/python install --no-deps --index-url "$TORCH_INDEX_URL" \
            --constraint constraints.txt torch; \
    fi \
    && pip --python /opt/venv/bin/python install --constraint constraints.txt --requirement trainer.txt

# What both images share at run time. Only the volume and /tmp are written to.
FROM ${BASE} AS runtime
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Foreoptic" \
      org.opencontainers.image.description="A learned corrector in front of a frozen ONNX model" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 foreoptic \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /var/lib/foreoptic \
        --shell /usr/sbin/nologin foreoptic \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/foreoptic
# onnxruntime's official builds report models and runs to their maker unless told not to, before it is loaded.
ENV PATH="/opt/venv/bin:${PATH}" \
    FOREOPTIC_HOME=/var/lib/foreoptic \
    FOREOPTIC_PORT=8000 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1
WORKDIR /var/lib/foreoptic
VOLUME ["/var/lib/foreoptic"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["foreoptic"]

FROM runtime AS trainer
COPY --from=trainer-dependencies /opt/venv /opt/venv
COPY --from=project /opt/venv /opt/venv
USER 10001:10001
CMD ["worker"]
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["foreoptic", "worker", "--check"]

# Last, and so the default target: the one that faces a network is the smaller one.
FROM runtime AS service
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=project /opt/venv /opt/venv
USER 10001:10001
EXPOSE 8000
CMD ["serve", "--no-worker"]
# /readyz and not /healthz: who waits for this container waits for predictions. http.client: no proxy comes between.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['FOREOPTIC_PORT']), timeout=4); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
