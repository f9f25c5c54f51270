#!/bin/sh
# Known vulnerabilities of the locked packages.   audit.sh BIN [pip-audit's options, e.g. --vulnerability-service osv]
# Strict: pip-audit would otherwise call a package harmless that it could not look up.
set -u
cd "$(dirname "$0")/.."
BIN=$1
shift
answer=$("$BIN/pip-audit" --requirement requirements.lock --no-deps --disable-pip --strict --progress-spinner off \
    "$@" 2>&1)
status=$?
case $status$answer in
    [1-9]*'could not be audited'*|[1-9]*ConnectionError*|[1-9]*HTTPError*|[1-9]*Timeout*) ;;
    *) printf '%s\n' "$answer"; exit "$status" ;;
esac
printf '%s\n' "$answer" | tail -n 1
cat >&2 <<'END'

Error: the advisories could not be read, so nothing is known about these packages: this is not a clean audit.
pip-audit asks the package index (its JSON interface, which mirrors often lack) or OSV. Run it where one of them answers:
  make audit                                        the index
  make audit AUDIT='--vulnerability-service osv'    api.osv.dev
or give the lists of the images (build/sbom/*.cdx.json, CycloneDX) to a scanner with a database of its own.
What can be said without advisories, of the environment:
END
"$BIN/uv" pip check --python "$BIN/python" >&2
exit 3
