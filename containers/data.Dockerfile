# The curation steps as KFP tasks.
# Build all images with `make images`; BASE_IMAGE is a Debian 12 or python:3.11 image pinned by digest.
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS python
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates libgomp1 python3.11 python3.11-venv \
 && rm -rf /var/lib/apt/lists/*

# What is installed here is copied, the tools that install it are not.
FROM python AS builder
ARG UV_VERSION
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
COPY requirements.lock /build/
RUN --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca SSL_CERT_FILE=/run/secrets/ca; fi \
 && /usr/bin/python3.11 -m venv /opt/tools && /opt/tools/bin/pip install --quiet uv==${UV_VERSION} \
 && /usr/bin/python3.11 -m venv --without-pip /opt/aerie
COPY pyproject.toml README.md /build/
COPY data /build/data
COPY components /build/components
COPY pipelines /build/pipelines
# Every version comes from the lock; the extras say which of them this image needs.
RUN --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && /opt/tools/bin/uv pip install --python /opt/aerie/bin/python --constraint /build/requirements.lock '/build[data,demo,workflow]'
RUN --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && /opt/tools/bin/uv tool run --with-requirements /build/requirements.lock --from cyclonedx-bom \
    cyclonedx-py environment --output-reproducible --output-file /opt/aerie/sbom.cdx.json /opt/aerie/bin/python

FROM python
ARG VERSION REVISION CREATED
LABEL org.opencontainers.image.title="aerie-python-data" \
      org.opencontainers.image.description="Aerie: the data strategy of the Eagle 2 recipe as KFP tasks" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --create-home aerie
COPY --from=builder /opt/aerie /opt/aerie
ENV PATH=/opt/aerie/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /home/aerie
