#!/bin/sh
# Make .venv from requirements.lock: hashes checked from the first package on, which is uv itself.
# PYTHON names an interpreter (3.10 to 3.13); without it the first fitting one is taken.
set -eu

fits() {
  "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

fail() {
  echo "setup: $1" >&2
  exit 1
}

as_root_install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  echo "setup     installing $*" >&2
  apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null 2>&1
}

python=""
for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.10}; do
  if fits "$candidate"; then python="$candidate"; break; fi
done
if [ -z "$python" ] && [ -z "${PYTHON:-}" ] && as_root_install python3 && fits python3; then python=python3; fi
[ -n "$python" ] || fail "no Python 3.10 to 3.13 here: install one, or name it: make setup PYTHON=/path/to/python3.11"

echo "setup     virtual environment with $("$python" --version 2>&1)" >&2
rm -rf .venv
if ! "$python" -m venv .venv >/dev/null 2>&1; then
  version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
  as_root_install "$version-venv" || fail "this Python cannot make virtual environments: apt-get install $version-venv"
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
