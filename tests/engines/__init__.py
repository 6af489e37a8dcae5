"""Other container engines than the machine's own, to run commands and tests on.

python -m tests.engines containerd -- pytest tests/integration/test_push.py
python -m tests.engines podman -- docker info
"""
