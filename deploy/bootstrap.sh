#!/bin/sh
# Make .venv from requirements.lock: hashes checked from the first package on, which is uv itself.
# PYTHON names an interpreter (3.11 to 3.13); without it the first fitting one is taken.
set -eu

fits() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

fail() {
  echo "setup: $1" >&2
  exit 1
}

has() { command -v "$1" >/dev/null; }

as_root_install() {
  if [ "$(id -u)" != 0 ] || ! has apt-get; then return 1; fi
  echo "setup     installing $*" >&2
  apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null 2>&1
}

# How a person gets a Python here. A python3 of a Debian or Ubuntu that does not fit is too old.
how_to_install() {
  sudo="sudo "
  if [ "$(id -u)" = 0 ]; then sudo=""; fi
  if [ "$(uname -s)" = Darwin ]; then echo "brew install python@3.13"
  elif has apt-get && has python3; then echo "${sudo}apt-get install python3.11 python3.11-venv"
  elif has apt-get; then echo "${sudo}apt-get install python3 python3-venv"
  elif has dnf; then echo "${sudo}dnf install python3.13"
  else echo "install one"
  fi
}

python=""
for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13}; do
  if fits "$candidate"; then python="$candidate"; break; fi
done
if [ -z "$python" ] && [ -n "${PYTHON:-}" ]; then fail "$PYTHON is no Python 3.11 to 3.13: name another, or none"; fi
for package in python3 python3.11; do
  if [ -z "$python" ] && as_root_install "$package" && fits "$package"; then python="$package"; fi
done
[ -n "$python" ] \
  || fail "no Python 3.11 to 3.13 here: $(how_to_install), or name one: make setup PYTHON=/path/to/python3.13"

echo "setup     virtual environment with $("$python" --version 2>&1)" >&2
rm -rf .venv
if ! "$python" -m venv .venv >/dev/null 2>&1; then
  version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
  # Debian and Ubuntu have the module in a package of its own.
  has apt-get || fail "$python cannot make virtual environments: name another: make setup PYTHON=/path/to/python3.13"
  as_root_install "$version-venv" \
    || fail "$python cannot make virtual environments: sudo apt-get install $version-venv"
  rm -rf .venv
  "$python" -m venv .venv
fi

awk '/^[^ #]/ { wanted = /^uv==/ } wanted' requirements.lock > .venv/uv.lock
.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r .venv/uv.lock 2>.venv/pip.log \
  || { cat .venv/pip.log >&2; fail "uv cannot be installed: is a package index reachable (PIP_INDEX_URL)?"; }

# uv reads variables of its own; who has set pip's for a mirror means uv as well.
[ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
.venv/bin/uv pip sync -q --require-hashes --python .venv requirements.lock \
  || fail "the locked packages cannot be installed: is a package index reachable (UV_DEFAULT_INDEX)?"
# Targets and kinds of flow of other distributions (docs/extending.md).
[ ! -f extensions.txt ] || .venv/bin/uv pip install -q --no-deps --python .venv -r extensions.txt \
  || fail "what extensions.txt names cannot be installed: is each line a folder or a package that is there?"
touch .venv/ready
