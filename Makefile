# HyperFleet: `make dev` runs it, `make test` tests it. `make` prints this help.
SHELL   := /bin/bash
PORT    ?= 8080
ROUNDS  ?= 3
REQUIRE ?=
SOAK    ?= 100
TIMEOUT ?= 20m
VERSION ?=
MODULES := $(shell go list -m -f '{{.Dir}}')
LINT    := bin/golangci-lint
GEN     := bin/controller-gen
SHIP    := bin/helm bin/helm3 bin/kustomize bin/promtool
export ROUNDS REQUIRE TIMEOUT

.PHONY: help
help: ## Print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: dev
dev: ## Run the whole system in one process: make dev PORT=9000 ARGS="--demo --data-dir DIR"
	@go build -o bin/hyperfleet ./components/hyperfleet/cmd/hyperfleet
	@exec bin/hyperfleet dev --listen 127.0.0.1:$(PORT) $(ARGS)

.PHONY: build
build: ## Build every module
	@for m in $(MODULES); do (cd $$m && go build ./...) || exit 1; done

.PHONY: test
test: ## Run all tests of all modules; REQUIRE=all installs what is missing and forbids skips
	@.ci/test $(MODULES)

.PHONY: soak
soak: ## Run the violent and random tests SOAK (100) times, and the mutants; the result goes to docs/benchmarks.md
	@result=passed; { $(MAKE) --no-print-directory test ROUNDS=$(SOAK) TIMEOUT=4h && $(MAKE) --no-print-directory mutants; } || result=FAILED; \
	echo "| $$(date -u +%F) | $$(git rev-parse --short HEAD) | ROUNDS=$(SOAK) | $$result in $$((SECONDS / 60)) min |" >> docs/benchmarks.md; \
	[ $$result = passed ]

.PHONY: bench
bench: ## Measure API, sentinel (at BENCH_ROWS, 1,000,000, rows) and brokers against the least that could do the same
	@cd components/api && go test -run '^$$' -bench '^BenchmarkAPI$$' -benchtime 1x -timeout 2h ./internal/postgres
	@cd libs/broker && go test -p 1 -run '^$$' -bench . -benchtime 1x -timeout 1h ./rabbitmq ./pubsub
	@cd components/hyperfleet && go test -run '^$$' -bench '^BenchmarkSentinel$$' -benchtime 1x -timeout 1h ./bench

.PHONY: mutants
mutants: ## Break the promises of the brokers' drivers one by one; their tests must notice each
	@set -o pipefail; for d in stub rabbitmq pubsub; do (cd libs/broker/$$d && \
	  go test -tags mutants -run '^TestMutantsAreCaught$$' -timeout 1h -v . | grep -E '^ *---|^(ok|FAIL)|mutants_test') || exit 1; done

.PHONY: lint
lint: $(LINT) ## Check formatting, go vet and the linters
	@for m in $(MODULES); do echo "lint $${m#$(CURDIR)/}"; (cd $$m && $(CURDIR)/$(LINT) run ./...) || exit 1; done

$(LINT): .tools/lint/go.mod
	@echo "building golangci-lint (once, some minutes)"
	@mkdir -p bin && cd .tools/lint && GOWORK=off go build -o $(CURDIR)/$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# What the tools say of themselves, and which Kubernetes `helm template` takes for granted.
bin/helm: LDFLAGS = -X helm.sh/helm/v4/internal/version.version=v4.3.1
bin/helm3: LDFLAGS = -X helm.sh/helm/v3/internal/version.version=v3.22.0 \
  -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=37
bin/kustomize: LDFLAGS = -X sigs.k8s.io/kustomize/api/provenance.version=v5.8.2
bin/%: .tools/%/go.mod
	@echo "building $* (once, some minutes)"
	@mkdir -p bin && cd .tools/$* && GOWORK=off CGO_ENABLED=0 go build -trimpath -ldflags '-s -w $(LDFLAGS)' -o $(CURDIR)/$@ tool

bin/crds: $(GEN) .tools/crds/go.mod
	@mkdir -p bin && cd .tools/crds && export GOWORK=off d=$(CURDIR)/$@ && rm -rf $$d && \
	  $(CURDIR)/$(GEN) crd paths=github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1 output:crd:dir=$$d && \
	  go mod download github.com/kedacore/keda/v2 && install -m 644 "$$(go list -m -f '{{.Dir}}' github.com/kedacore/keda/v2)"/config/crd/bases/keda.sh_*.yaml $$d

bin/promtool:
	@mkdir -p bin && ln -sf "$$(command -v promtool || { echo 'promtool: apt-get install prometheus' >&2; exit 1; })" $@

.PHONY: generate
generate: $(GEN) ## Generate the CustomResourceDefinitions and the copies of their types
	@cd libs/apis && $(CURDIR)/$(GEN) object crd paths=./v1alpha1 output:crd:dir=crds

.PHONY: verify
verify: $(GEN) ## Check that every module is complete and tidy, that what is generated is up to date, and that the scripts parse
	@for m in $(MODULES); do echo "verify $${m#$(CURDIR)/}"; \
	  (cd $$m && GOWORK=off go mod tidy -diff && GOWORK=off go build ./... && GOWORK=off go vet ./...) || exit 1; done
	@d=$$(mktemp -d) && trap 'rm -rf "$$d"' EXIT && cd libs/apis && \
	  $(CURDIR)/$(GEN) object crd paths=./v1alpha1 output:object:dir=$$d output:crd:dir=$$d && \
	  for f in "$$d"/*.yaml; do diff -u crds/$${f##*/} $$f || exit 1; done && diff -u v1alpha1/zz_generated.deepcopy.go $$d/zz_generated.deepcopy.go
	@for s in .ci/run .ci/test; do bash -n $$s || exit 1; done

.PHONY: tools
tools: $(LINT) $(SHIP) kube ## Build the pinned tools and fetch PostgreSQL where the machine has none
	@go run ./libs/pgdev/cmd/pgdev

.PHONY: images
images: ## Make the container images as OCI layouts in dist/images: make images VERSION=v2.0.0
	@go run ./libs/ship/cmd/ship images --version "$(VERSION)"

.PHONY: kube
kube: ## Build the tests' Kubernetes into the user's cache (once; 20 minutes from nothing)
	@go run ./libs/kubedev/cmd/kubedev

.PHONY: fmt
fmt: ## Format all Go code
	@gofmt -w $$(git ls-files '*.go')

.PHONY: clean
clean: ## Remove what was built
	@rm -rf bin dist
