# Thin: cargo does the work. `make run` and `make test` need Rust and a C compiler.

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
LISTEN ?= 127.0.0.1:8080

.PHONY: all run test fmt lint doc bench fuzz install clean

all:
	$(CARGO) build --release

run: all target/site.made
	target/release/swiftd target/site --listen $(LISTEN)

# make-site.sh itself does nothing when everything is up to date.
target/site.made: .FORCE
	docs/make-site.sh target/site
.FORCE:

test: fmt lint
	$(CARGO) test --workspace --no-fail-fast
	$(MAKE) doc

fmt:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

bench: all
	benches/compare/run.sh $(CASES)

fuzz:
	cd fuzz && ./run.sh $(TARGETS)

install: all
	install -D -m 755 target/release/swiftd $(DESTDIR)$(PREFIX)/bin/swiftd

clean:
	$(CARGO) clean
