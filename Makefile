# `make help` lists the targets. What `make test` does, step by step, is in tests/run.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

CARGO   ?= cargo
PREFIX  ?= /usr
DESTDIR ?=

TARGET  := $(or $(CARGO_TARGET_DIR),target)
RELEASE := $(TARGET)/release
PROGRAMS := two-node-ha two-node-ha-generator two-node-ha-hook

# Paths of the build machine have no place in the programs: panic messages would carry them, and
# the same source would give other bytes in another directory.
CARGO_HOME_DIR := $(or $(CARGO_HOME),$(HOME)/.cargo)
RELEASE_FLAGS  := --remap-path-prefix=$(CARGO_HOME_DIR)=/cargo --remap-path-prefix=$(CURDIR)=/two-node-ha

.PHONY: build
build: ## the three programs, optimised
	RUSTFLAGS="$${RUSTFLAGS:-} $(RELEASE_FLAGS)" $(CARGO) build --release --locked $(PROGRAMS:%=-p %)

.PHONY: demo
demo: ## a failover of two real nodes from one TOML file, with a timeline
	tests/install-deps demo
	$(MAKE) --no-print-directory deb
	$(CARGO) run --quiet --locked -p two-node-ha-lab -- demo

.PHONY: test
test: ## everything that CI runs (STEPS="format clippy" for some of it)
	tests/run $(STEPS)

.PHONY: model
model: ## two nodes explored together, with three faults each time (some minutes, some gigabytes)
	TWO_NODE_HA_MODEL_FAULTS=3 TWO_NODE_HA_MODEL_WORLDS=$${TWO_NODE_HA_MODEL_WORLDS:-10000000} \
		$(CARGO) test --locked -p two-node-ha-planner two_nodes::with_fencing_every -- --nocapture

.PHONY: mutants
mutants: ## what decides and guards, changed one thing at a time: a test has to fail (a day; goes on where it was ended)
	tests/mutants $(PARTS)

.PHONY: deb
deb: build ## target/deb/two-node-ha_VERSION_ARCH.deb
	packaging/build-deb

.PHONY: bench
bench: ## the generator, raft verify, a handler's start and fence-peer, each against its peer in one run
	tests/install-deps test
	tests/bench/generator
	$(CARGO) bench --quiet --locked -p two-node-ha --bench raft
	$(CARGO) bench --quiet --locked -p two-node-ha-hook --bench cold-start
	tests/bench/fence

.PHONY: campaign
campaign: ## every scenario of the lab in its full length: hours; before a release
	tests/install-deps demo
	$(MAKE) --no-print-directory deb
	$(CARGO) run --quiet --locked -p two-node-ha-lab -- campaign

.PHONY: bench-lab
bench-lab: ## fence handlers against DRBD's own, takeovers by native against k8sd (ORDER='takeover --size 1')
	tests/install-deps demo
	$(MAKE) --no-print-directory deb
	$(CARGO) run --quiet --locked -p two-node-ha-lab -- bench $(ORDER)

.PHONY: lint format scripts clippy licences
lint: format scripts man clippy licences ## format, scripts, man, clippy, licences
format scripts clippy licences: packages-for-test
	tests/run $@

.PHONY: man
man: packages-for-test ## lint of the man pages; read one with `man -l man/two-node-ha.8`
	tests/run $@

.PHONY: packages-for-test
packages-for-test:
	tests/install-deps test

# Only puts files in place, so that `make && sudo make install` compiles nothing as root.
.PHONY: install
install: ## DESTDIR= PREFIX=/usr; after `make`
	@for program in $(PROGRAMS); do \
		test -x "$(RELEASE)/$$program" || { echo "$(RELEASE)/$$program is missing: run 'make' first" >&2; exit 1; }; \
	done
	DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" RELEASE="$(RELEASE)" packaging/install

.PHONY: clean
clean: ## what the build left; the lab's images stay (rm -rf .lab)
	$(CARGO) clean

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
