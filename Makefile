# make quickstart and make test are all a newcomer needs; each fetches what it lacks.
SHELL := /bin/bash
GO ?= go
CC ?= cc
BIN := bin/whereto

# ONNX Runtime and XLA need cgo. Without a C compiler everything still builds,
# with the pure-Go engine alone.
ifeq ($(shell command -v $(firstword $(CC)) 2>/dev/null),)
export CGO_ENABLED := 0
NO_CC := no C compiler ($(CC)): building without cgo, the pure-Go engine alone
else
export CGO_ENABLED ?= 1
endif

.PHONY: help quickstart test laws build setup services check clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

quickstart: setup ## from nothing to a trained model, a result table and a report page
	./$(BIN) quickstart

build: ## build ./bin/whereto
	@$(if $(NO_CC),echo "$(NO_CC)",true)
	@mkdir -p bin
	$(GO) build -o $(BIN) ./cmd/whereto

setup: build ## put ONNX Runtime into the user's cache folder, or say why not
	./$(BIN) setup

check: ## formatting, vet and build, with and without cgo
	@bad="$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go'))"; \
	if [ -n "$$bad" ]; then echo "not gofmt-ed:"; echo "$$bad"; exit 1; fi
	$(GO) vet ./...
	CGO_ENABLED=0 $(GO) vet ./...
	CGO_ENABLED=0 $(GO) build -o bin/whereto-static ./cmd/whereto

# The packages whose tests draw cases. Their seed is fixed, so that what passed here
# passes there; make laws draws others.
LAWS = $(sort $(dir $(shell grep -rlE --include='*_test.go' '"(pgregory.net/rapid|.*/store/storetest)"' .)))

# The stores are tested on real servers. Where there are none and none can be had, their
# tests say so and are skipped.
services:
	@sh internal/testkit/services.sh || echo "the tests of PostgreSQL or Redis will be skipped"

test: setup services check ## build both ways, check, and run every test
	$(GO) test -timeout 20m $$($(GO) list ./... | grep -vxFf <($(GO) list $(LAWS)))
	$(GO) test -timeout 20m $(LAWS) -rapid.seed=1 -rapid.nofailfile

CHECKS ?= 1000
laws: ## check the laws on freshly drawn cases, CHECKS of them each
	$(GO) test -timeout 120m -run '$(RUN)' $(LAWS) -rapid.checks=$(CHECKS) -rapid.nofailfile

clean: ## remove what was built here; the caches of Go and whereto stay
	rm -rf bin
