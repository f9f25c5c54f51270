# The nodes of a TrainJob: torch and DeepSpeed, no kfp. Target `local` adds kfp, to train inside a KFP task.
# Build all images with `make images`; BASE_IMAGE is a Debian 12 or python:3.11 image pinned by digest.
# The stages up to `torch` are the same in all three files, so the images share their largest layer. It holds CUDA, as
# the wheels of the package index do, and runs on a CPU as well.
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS python
# On a GPU node Triton compiles a kernel's launcher, with a C compiler and Python's headers; torch's own compiler wants
# C++ as well.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
    ca-certificates g++ libc6-dev libgomp1 python3.11 python3.11-dev python3.11-venv \
 && rm -rf /var/lib/apt/lists/*
# Bytecode is compiled into the layers: a task is short, and its user could not write it beside the packages.
ENV PATH=/opt/aerie/bin:$PATH PYTHONUNBUFFERED=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
# As in NVIDIA's own images: where GKE mounts the driver, and what the container toolkit shall bring of it elsewhere.
ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib64 NVIDIA_DRIVER_CAPABILITIES=compute,utility

# What installs and lists packages is lent to the other stages and stays out of the images. So do the secrets: a
# certificate authority, and the index configuration of pip and uv.
FROM python AS tools
ARG UV_VERSION
RUN --mount=type=bind,source=requirements.lock,target=/build/requirements.lock \
    --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca SSL_CERT_FILE=/run/secrets/ca; fi \
 && /usr/bin/python3.11 -m venv /opt/tools \
 && /opt/tools/bin/pip install --quiet --constraint /build/requirements.lock uv==${UV_VERSION} cyclonedx-bom

FROM python AS torch
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,source=requirements.lock,target=/build/requirements.lock \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && /usr/bin/python3.11 -m venv --without-pip /opt/aerie \
 && /opt/tools/bin/uv pip install --python /opt/aerie --constraint /build/requirements.lock torch torchvision

# Every version comes from the lock; the extras say which of them this image needs.
FROM torch AS packages
# Further extras: kernels that a recipe may ask for (EXTRAS in build.sh).
ARG OPTIONS
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,source=requirements.lock,target=/build/requirements.lock \
    --mount=type=bind,source=pyproject.toml,target=/build/pyproject.toml \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && /opt/tools/bin/uv pip install --python /opt/aerie --constraint /build/requirements.lock \
    --requirements /build/pyproject.toml --extra train ${OPTIONS} \
 && useradd --uid 10001 --create-home aerie

# A change of our code makes only this small layer anew.
FROM packages AS train
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools --mount=type=bind,target=/build,rw \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && rm -r /build/components /build/pipelines \
 && /opt/tools/bin/uv pip install --python /opt/aerie --build-constraint /build/requirements.lock --no-deps /build \
 && /opt/tools/bin/cyclonedx-py environment --output-reproducible \
    --output-file /opt/aerie/sbom.cdx.json /opt/aerie/bin/python
USER 10001:10001
WORKDIR /home/aerie
ARG VERSION REVISION CREATED SOURCE
LABEL org.opencontainers.image.title="aerie-python-train" \
      org.opencontainers.image.description="Aerie: the training stages of the Eagle 2 recipe as TrainJob nodes" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.licenses="Apache-2.0"

# Where there is no cluster, a stage trains in its own KFP task and so needs both.
FROM packages AS local-packages
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=bind,source=requirements.lock,target=/build/requirements.lock \
    --mount=type=bind,source=pyproject.toml,target=/build/pyproject.toml \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && /opt/tools/bin/uv pip install --python /opt/aerie --constraint /build/requirements.lock \
    --requirements /build/pyproject.toml --extra demo --extra train --extra workflow

FROM local-packages AS local
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools --mount=type=bind,target=/build,rw \
    --mount=type=secret,id=uv,target=/etc/uv/uv.toml \
    --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && /opt/tools/bin/uv pip install --python /opt/aerie --build-constraint /build/requirements.lock --no-deps /build \
 && /opt/tools/bin/cyclonedx-py environment --output-reproducible \
    --output-file /opt/aerie/sbom.cdx.json /opt/aerie/bin/python
USER 10001:10001
WORKDIR /home/aerie
ARG VERSION REVISION CREATED SOURCE
LABEL org.opencontainers.image.title="aerie-python-train-local" \
      org.opencontainers.image.description="Aerie: the training stages of the Eagle 2 recipe inside KFP tasks" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.licenses="Apache-2.0"
