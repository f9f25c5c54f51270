#!/bin/sh
# Builds the images data, eval, train and train-local with docker, podman or buildah, and copies out their SBOMs.
#   BASE_IMAGE  Debian 12 or python:3.11, as NAME@sha256:DIGEST (an image of this machine, local/..., needs no digest)
#   ENGINE      docker, podman or buildah [default: the first that works]
#   IMAGES      which of them [default: all]
#   EXTRAS      of pyproject.toml for the images that train, e.g. "fp8 hopper" [default: none]
#   SOURCE      address of the sources, for a label [default: Git's origin, without a user's name]
# Lent to the build as secrets, which no layer keeps: the certificate authorities in SSL_CERT_FILE, for a proxy that
# signs anew, and the configuration of pip in PIP_CONFIG_FILE and of uv in UV_CONFIG_FILE, for an index of your own.
set -eu
cd "$(dirname "$0")/.."
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
UV_VERSION=$(sed -n 's/^UV_VERSION = //p' Makefile)
REVISION=$(git describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null || echo unknown)
SOURCE=${SOURCE:-$(git config --get remote.origin.url 2>/dev/null | sed 's#//[^@/]*@#//#')}
CREATED=$(date -u +%Y-%m-%dT%H:%M:%SZ)
IMAGES=${IMAGES:-data eval train train-local}

fail() { printf 'Error: %s\n' "$1" >&2; exit 2; }

works() {
    case $1 in
        buildah) buildah version >/dev/null 2>&1 ;;
        *) "$1" info >/dev/null 2>&1 && DOCKER_BUILDKIT=1 "$1" build --help 2>/dev/null | grep -q -e --secret ;;
    esac
}

engine() {
    for candidate in ${ENGINE:-docker podman buildah}; do
        if works "$candidate"; then echo "$candidate"; return; fi
    done
    fail "no container engine answers that builds with secrets (tried: ${ENGINE:-docker, podman, buildah}). Install and
start one, e.g. docker.io on Debian, or add the buildx plugin to Docker's newer clients, then run make images again"
}

case ${BASE_IMAGE:-} in
    '') fail "BASE_IMAGE is not set. Give the base pinned by digest: make images BASE_IMAGE=python@sha256:DIGEST
(the digest of python:3.11-slim-bookworm in your registry), or BASE_IMAGE=local/debian:bookworm after
containers/local-base.sh, which needs no registry" ;;
    *@sha256:*|local/*) ;;
    *) fail "BASE_IMAGE=$BASE_IMAGE is not pinned; write it as NAME@sha256:DIGEST" ;;
esac
ENGINE=$(engine)

build() { # NAME DOCKERFILE TARGET
    options=
    if [ "$2" = train ]; then for extra in ${EXTRAS:-}; do options="$options --extra $extra"; done; fi
    set -- --file "containers/$2.Dockerfile" --tag "localhost/aerie-python-$1" --target "$3" \
        --network host --build-arg BASE_IMAGE="$BASE_IMAGE" --build-arg UV_VERSION="$UV_VERSION" \
        --build-arg VERSION="$VERSION" --build-arg REVISION="$REVISION" --build-arg SOURCE="$SOURCE" \
        --build-arg CREATED="$CREATED"
    if [ -n "$options" ]; then set -- "$@" --build-arg OPTIONS="$options"; fi
    for secret in "ca=${SSL_CERT_FILE:-}" "pip=${PIP_CONFIG_FILE:-}" "uv=${UV_CONFIG_FILE:-}"; do
        if [ -s "${secret#*=}" ]; then set -- "$@" --secret "id=${secret%%=*},src=${secret#*=}"; fi
    done
    DOCKER_BUILDKIT=1 "$ENGINE" build "$@" .
}

sbom() { # TAG NAME
    mkdir -p build/sbom
    case $ENGINE in
        buildah)
            container=$(buildah from "localhost/aerie-python-$1")
            buildah run "$container" cat /opt/aerie/sbom.cdx.json > "build/sbom/$2.cdx.json"
            buildah rm "$container" >/dev/null ;;
        *) "$ENGINE" run --rm --network none "localhost/aerie-python-$1" cat /opt/aerie/sbom.cdx.json \
            > "build/sbom/$2.cdx.json" ;;
    esac
}

for image in $IMAGES; do
    case $image in
        data|eval) tag="$image:$VERSION"; build "$tag" "$image" "$image" ;;
        train) tag="train:$VERSION"; build "$tag" train train ;;
        train-local) tag="train:$VERSION-local"; build "$tag" train local ;;
        *) fail "unknown image $image; choose from data, eval, train, train-local" ;;
    esac
    sbom "$tag" "$image"
    echo "localhost/aerie-python-$tag  SBOM: build/sbom/$image.cdx.json"
done
