#!/bin/sh
# Builds the images and runs the whole pipeline in them through KFP's DockerRunner, with storage on a real S3 server;
# then the same recipe in plain processes, and compares every manifest.   e2e.sh PYTHON RECIPE
set -eu
cd "$(dirname "$0")/.."
PYTHON=$1 RECIPE=$2
ENGINE=${ENGINE:-docker}
if ! "$ENGINE" info >/dev/null 2>&1; then
    echo "Error: no Docker engine answers '$ENGINE info', so nothing was built or run. Start one (Debian: apt install" >&2
    echo "docker.io) and run make e2e-docker again. KFP's DockerRunner needs Docker itself, not podman or buildah." >&2
    exit 2
fi
if [ -z "${BASE_IMAGE:-}" ]; then
    BASE_IMAGE=local/debian:bookworm
    "$ENGINE" image inspect "$BASE_IMAGE" >/dev/null 2>&1 || sh containers/local-base.sh
fi
export BASE_IMAGE ENGINE
sh containers/build.sh
exec "$PYTHON" -m pytest tests/containers -m docker -s --recipe "$RECIPE"
