PORT ?= 8000
DATA ?= var
python := .venv/bin/python

SEEDS ?= 3 4 5

.PHONY: demo test test-openstack test-images check format
.PHONY: bench bench-broker bench-crowd bench-catalogue bench-lifecycle bench-openstack chaos screenshots lock

demo: ## everything on this machine: installs what is missing, starts, prints an address
	@scripts/install
	@exec $(python) manage.py up --port $(PORT) --data $(DATA)

test: ## all tests, on real servers
	@scripts/install test
	@$(python) -m pytest $(ARGS)

test-openstack: ## the contract suite and the OpenStack tests, on a real OpenStack on this machine
	@scripts/install openstack
	@$(python) -m pytest --openstack tests/providers/test_contract.py tests/openstack $(ARGS)

test-images: ## the machine image: provisioned, booted and opened, without a kernel of its own
	@scripts/install test
	@$(python) -m pytest tests/images $(ARGS)

check: ## style, types, architecture, templates
	@scripts/install test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy auth instances visa
	.venv/bin/lint-imports
	.venv/bin/djlint --check --lint --quiet templates

format:
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .
	.venv/bin/djlint --reformat --quiet templates

bench: ## how fast an instance starts and how fast the home page is
	@scripts/install test
	@$(python) -m tests.bench

bench-broker: ## the broker beside websockify and configurable-http-proxy, ROUNDS times
	@scripts/install test
	@$(python) -m tests.bench_broker

bench-crowd: ## 2,000 idle and 50 active desktops in one broker process for MINUTES minutes, a third of them half-dead
	@scripts/install test
	@$(python) -m tests.bench_broker.crowd

bench-catalogue: ## how fast a large catalogue is taken over, and lists with it
	@scripts/install test
	@$(python) -m tests.bench_catalogue

bench-lifecycle: ## what 10,000 instances cost while little happens, and how a rush of launches drains
	@scripts/install test
	@$(python) -m tests.bench_lifecycle

chaos: ## SEEDS of the chaos suite: workers killed, PostgreSQL crashed, a cloud that lies
	@scripts/install test
	@for seed in $(SEEDS); do $(python) -m tests.chaos.run $$seed || exit 1; done

bench-openstack: ## how often nova is asked, by idle instances and by a launch
	@scripts/install openstack
	@$(python) -m pytest --openstack -q -s tests/openstack/bench.py

screenshots: ## the pictures of the README
	@scripts/install test
	@$(python) -m tests.screenshots

compile := pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
lock: ## pin what requirements/*.in ask for; JupyterLab's with the interpreter that instances have
	@for set in portal dev openstack; do .venv/bin/$(compile) -o requirements/$$set.txt requirements/$$set.in; done
	@/usr/bin/python3 -m venv --clear .environments/lock
	@.environments/lock/bin/pip install --quiet pip-tools
	@for set in jupyter image; do .environments/lock/bin/$(compile) -o requirements/$$set.txt requirements/$$set.in; done
