# radiusd: `make help` lists the targets.

GO      ?= go
BIN     := bin/radiusd
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X radiusd/internal/cli.version=$(VERSION)

# One short run of every fuzz target; `make fuzz FUZZTIME=5m` digs deeper.
FUZZTIME ?= 20s
# Packages and expression for `make microbench`.
PKG   ?= ./...
BENCH ?= .
COUNT ?= 6

# The race detector, but not within SQLite: that is a program in C, translated, which keeps
# its own memory and locks. Watching it finds nothing and takes ten times as long.
RACE := -race -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc/...=-race=false

.DEFAULT_GOAL := help
.PHONY: run build test lint vuln fuzz bench bench-accounting microbench instructions clean help

run: build ## build and start on the embedded default in data/, on loopback, with demo data
	exec $(BIN) serve --demo

build: ## build bin/radiusd and bin/adminapi
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/radiusd
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(dir $(BIN))adminapi ./cmd/adminapi

test: ## install what the tests need, lint, and run all tests under the race detector
	scripts/install-test-servers
	$(MAKE) --no-print-directory lint
	$(GO) test $(RACE) -timeout 20m ./...

lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	  if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

vuln: ## govulncheck; needs the vulnerability database on the network
	$(GO) tool govulncheck ./...

fuzz: ## run every fuzz target for FUZZTIME (20s)
	scripts/fuzz $(FUZZTIME)

bench: build ## requests a second and CPU, next to floors and FreeRADIUS (docs/benchmarks.md; ARGS=-help)
	$(GO) run ./scripts/bench $(ARGS)

microbench: ## run the Go benchmarks, for benchstat (PKG=./radius BENCH=Admit COUNT=10)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(PKG)

instructions: ## count the packet path's instructions under valgrind, against a baseline (ARGS=-update)
	$(GO) run ./scripts/instructions $(ARGS)

bench-accounting: ## accounting at volume on this machine, next to FreeRADIUS (docs/benchmarks.md)
	scripts/bench-accounting

clean: ## remove what make built; data/ stays
	rm -rf bin

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile
