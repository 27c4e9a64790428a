# Everything here is a short name for a command that can also be run by hand.

VERSION := $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo dev)
# The race detector needs a C compiler.
RACE := $(shell command -v $$(go env CC) >/dev/null 2>&1 && echo -race)
FUZZTIME ?= 30s
PEERS ?=

.PHONY: build mysql servers test short lint fuzz bench demo clean

build: ## bin/towline
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)' -o bin/towline ./cmd/towline

mysql: ## the MySQL that the demo and the benchmarks need
	e2e/servers/install.sh

servers: mysql ## the real servers, and a client of others, that the tests need
	e2e/servers/rocketmq.sh
	e2e/servers/mariadb.sh
	e2e/servers/redis.sh
	e2e/servers/clients.sh
	e2e/servers/registry.sh

test: build servers ## every test, with servers required; two packages at a time
	$(if $(RACE),,@echo 'make: no C compiler, so the tests run without the race detector' >&2)
	TOWLINE_REQUIRE_SERVERS=1 $(if $(RACE),CGO_ENABLED=1) go test $(RACE) -shuffle=on -timeout 40m -p 2 ./...

short: ## the tests that need no server
	go test -short ./...

lint: ## the rules of the house
	go test ./e2e/lint/...

fuzz: ## every fuzz target for FUZZTIME each
	@set -e; for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p | grep ^Fuzz); do \
		go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; done; done

bench: build mysql ## the benchmarks (half an hour); PEERS= names other tools to compare with, PEERS=none takes some minutes
	$(if $(filter none,$(PEERS)),,e2e/servers/peers.sh)
	PEERS='$(PEERS)' go run -buildvcs=false ./e2e/bench $(if $(filter none,$(PEERS)),-quick) $(BENCHFLAGS)

demo: build mysql ## Towline at work on real servers
	go run -buildvcs=false ./e2e/demo

clean:
	rm -rf bin coverage.out
