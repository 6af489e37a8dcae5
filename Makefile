# Two commands for a newcomer, `make demo` and `make test`; each sets up what it needs. All else: `inv --list`.
# The first flow if there is no faq.
FLOW ?= $(firstword $(patsubst flows/%/deploy.yaml,%,$(wildcard flows/faq/deploy.yaml flows/*/deploy.yaml)))
INV = .venv/bin/inv

.PHONY: demo test check setup doctor lock clean

demo: .venv/ready  ## build a flow, run it in a container, score it
	@$(INV) setup deploy --flow=$(FLOW) smoke --flow=$(FLOW)

test: .venv/ready  ## lint, types, unit tests, integration tests on real images
	@$(INV) setup test

check: .venv/ready  ## lint and types only
	@$(INV) check

setup: .venv/ready  ## the virtual environment, a Docker engine, the base image
	@$(INV) setup

doctor: .venv/ready  ## what is here, what is missing, and the next command
	@$(INV) doctor

lock: .venv/ready  ## requirements.lock from pyproject.toml
	@.venv/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	  --quiet --upgrade --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements.lock

clean:  ## remove the virtual environment and .build
	@rm -rf .venv .build

.venv/ready: requirements.lock deploy/bootstrap.sh $(wildcard extensions.txt)
	@sh deploy/bootstrap.sh
