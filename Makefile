# What there is to do: make help.

GO       ?= go
FUZZTIME ?= 20s# how long each fuzz target runs
MIXTIME  ?= 60s# how long the mix-up test runs
ROLLRATE ?= 2000# calls a second while gates are replaced
ROLLTIME ?= 60s# how long that goes on
LDFLAGS  ?= -s -w# of the linker
CHAOSTIME ?= 10s# how long each fault lasts
CHAOSRATE ?= 2000# calls a second while it does
CHURN    ?= 1h# how long sessions come and go
FLAGS    ?=# of sidegate run, for make run
TESTFLAGS ?=# of go test, such as -v
LOADFLAGS ?=# of the load harness, for make bench
ENGINE   ?= docker# what builds the image
VERSION  ?= $(shell git describe --tags --always --dirty)# of the image

TS          := test/clients/ts
PYTHON      := test/clients/python
CONFORMANCE := test/conformance
LOAD        := test/load/npm
KUBE        := test/kube
PLATFORMS   := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

.PHONY: help build image run test test-image test-kube test-fence race check lint clients conformance matrix mixup rolling chaos fuzz bench churn bench-quick microbench node python clean

help: ## say what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the gate: ./sidegate, one static binary without symbols (LDFLAGS= leaves them in, for perf)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o sidegate ./cmd/sidegate

image: ## build the image sidegate:VERSION with ENGINE (docker; podman with IMAGEFLAGS=--format=docker)
	$(ENGINE) build $(IMAGEFLAGS) --build-arg VERSION=$(VERSION) --build-arg COMMIT=$$(git rev-parse HEAD) --tag sidegate:$(VERSION) .

run: build ## start the gate in front of the demo tool server and print its doors (FLAGS='--listen 127.0.0.1:9000')
	./sidegate run --curl $(FLAGS) -- ./sidegate demo

test: ## run the tests, none from a cache: the gate is built by some of them; what needs Node, Python, nginx or HAProxy skips where that is not installed
	$(if $(filter -v,$(TESTFLAGS)),$(GO) test -count=1 -timeout 20m $(TESTFLAGS) ./...,GO=$(GO) .ci/test -count=1 -timeout 20m $(TESTFLAGS))

test-image: ## build the image and run it; needs root, podman and runc
	$(GO) test -tags image -count=1 -timeout 12m $(TESTFLAGS) ./test/image

race: ## run the tests with the race detector, in the gate as well
	$(GO) test -race -count=1 -timeout 30m $(TESTFLAGS) ./...

check: ## gofmt, go mod tidy, vet and build for every platform, lint; test/kube, a module of its own, as well
	@unformatted=$$(gofmt -l $$($(GO) list -f '{{.Dir}}' ./... | sed 's|$$|/*.go|') $(KUBE)/*.go); \
		if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) mod tidy -diff
	cd $(KUBE) && $(GO) mod tidy -diff && $(GO) vet ./...
	@set -e; for platform in $(PLATFORMS); do \
		echo "vet and build for $$platform"; export GOOS=$${platform%/*} GOARCH=$${platform#*/} CGO_ENABLED=0; \
		$(GO) vet -tags image ./...; $(GO) build -o /dev/null ./cmd/sidegate; done
	$(MAKE) lint

lint: ## golangci-lint, in the version of .ci/lint/go.mod; the first time it takes minutes to build
	$(GO) tool -modfile=.ci/lint/go.mod golangci-lint run ./...
	cd $(KUBE) && $(GO) tool -modfile=../../.ci/lint/go.mod golangci-lint run ./...

clients: node python ## drive the gate with the TypeScript, Go and Python SDKs' clients
	$(GO) test -count=1 -timeout 10m $(TESTFLAGS) ./test/clients/...

test-kube: ## hold deploy/kubernetes and sidegate inject to Kubernetes' own types and admission (a Go module of its own), and run a pod of each; that needs root, runc, iproute2 and iptables
	cd $(KUBE) && $(GO) test -count=1 -timeout 10m -parallel 6 $(TESTFLAGS) ./...

test-fence: ## put the fence up in network namespaces and try every way past it; needs root, iproute2 and iptables
	TEST_FENCE=1 $(GO) test -count=1 -timeout 10m $(TESTFLAGS) ./test/fence

conformance: $(CONFORMANCE)/node_modules/.package-lock.json ## run the protocol's conformance suites, of both eras, against servers of every era and print the tables
	$(GO) test -count=1 -timeout 10m -v -run 'TestConformance|TestClient|TestReadResults|TestTable' ./$(CONFORMANCE)

matrix: node ## join every frontend with every kind of backend, shared and not, and print the table
	TEST_MATRIX=1 $(GO) test -count=1 -timeout 10m -v -run 'TestMatrix|TestSomeCells' ./$(CONFORMANCE)

mixup: ## let 200 clients at a time share links that die, for MIXTIME
	TEST_LONG=$(MIXTIME) $(GO) test -count=1 -timeout 15m -v -run 'TestMixup' ./test/e2e

rolling: ## replace two gates behind a balancer again and again under ROLLRATE calls a second, for ROLLTIME; fails where the machine does not carry them
	TEST_ROLLING_RATE=$(ROLLRATE) TEST_LONG=$(ROLLTIME) $(GO) test -count=1 -timeout 15m -v -run 'TestRolling' ./test/e2e

chaos: ## break what stands round the gate, for CHAOSTIME each, at CHAOSRATE calls a second, and draw the balance (Linux; the limits of memory and of the log's disk need root)
	TEST_CHAOS=1 TEST_LONG=$(CHAOSTIME) TEST_CHAOS_RATE=$(CHAOSRATE) $(GO) test -count=1 -timeout 30m -parallel 9 -v ./test/chaos

fuzz: ## run each fuzz target for FUZZTIME
	GO=$(GO) .ci/fuzz $(FUZZTIME)

bench: build ## measure the gate beside others, in an hour and a half (test/load/PROOF.md; LOADFLAGS='-only http-echo')
	$(GO) run ./test/load bench $(LOADFLAGS)

churn: build ## let sessions come and go for CHURN, and see that nothing stays behind
	$(GO) run ./test/load bench -only '^churn' -churn $(CHURN)

bench-quick: build ## see that all of bench works, in two minutes
	$(GO) run ./test/load bench -quick $(LOADFLAGS)

microbench: ## run the benchmarks; those of the registry for 1, 2 and 16 processors
	$(GO) test -run '^$$' -bench . -benchmem $$($(GO) list ./... | grep -v /registry$$)
	$(GO) test -run '^$$' -bench . -benchmem -cpu 1,2,16 ./registry

node: $(TS)/node_modules/.package-lock.json $(CONFORMANCE)/node_modules/.package-lock.json $(LOAD)/node_modules/.package-lock.json ## install what the lock files of npm pin

%/node_modules/.package-lock.json: %/package-lock.json
	npm ci --prefix $*

python: $(PYTHON)/.venv/installed ## install what requirements.txt pins

$(PYTHON)/.venv/installed: $(PYTHON)/requirements.txt
	python3 -m venv $(PYTHON)/.venv
	$(PYTHON)/.venv/bin/pip install --quiet --require-hashes -r $<
	touch $@

clean: ## remove what the other targets made
	rm -rf sidegate test.log $(TS)/node_modules $(CONFORMANCE)/node_modules $(LOAD)/node_modules $(PYTHON)/.venv
