#!/bin/sh
# Makes the base image local/debian:bookworm from Debian's packages, where no registry can be reached. Needs root.
set -eu
command -v debootstrap >/dev/null || { echo "Error: debootstrap is missing: apt install debootstrap" >&2; exit 2; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates bookworm "$root"
tar -C "$root" -c . | "${ENGINE:-docker}" import - local/debian:bookworm
