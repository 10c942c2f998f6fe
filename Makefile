# Thin: cargo does the work. `make run` and `make test` need Rust and a C compiler.

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
# Where cargo puts things.
TARGET := $(or $(CARGO_TARGET_DIR),target)
LISTEN ?= 127.0.0.1:8080
PLUGIN_DIR ?= $(PREFIX)/lib/swiftd/plugins

# Every plugin of the repository, by its name: what is a cdylib, and what is in C.
RUST_PLUGINS := $(patsubst plugins/%/Cargo.toml,%,$(shell grep -l cdylib plugins/*/Cargo.toml))
C_PLUGINS := $(basename $(notdir $(wildcard plugins/*/*.c)))
# Those that forbid or rewrite come first in the sample list.
FIRST := $(foreach name,headers access basic_auth redirect,$(filter $(name),$(RUST_PLUGINS)))
LISTED := $(FIRST) $(filter-out $(FIRST),$(RUST_PLUGINS) $(C_PLUGINS))

.PHONY: all run plugins test fmt lint doc bench fuzz install clean

all:
	$(CARGO) build --release

run: all $(TARGET)/site.made
	$(TARGET)/release/swiftd $(TARGET)/site --listen $(LISTEN)

# make-site.sh itself does nothing when everything is up to date.
$(TARGET)/site.made: .FORCE
	docs/make-site.sh $(TARGET)/site
.FORCE:

# The libraries, named as the list of plugins wants them. As a cdylib only, because beside an rlib
# there is no link-time optimisation.
plugins:
	mkdir -p $(TARGET)/plugins
	for name in $(RUST_PLUGINS); do \
	    $(CARGO) rustc --profile plugin --crate-type cdylib --lib \
	        -p swiftd-plugin-$$(echo $$name | tr _ -) || exit; \
	    install -m 755 $(TARGET)/plugin/lib$$name.so $(TARGET)/plugins/$$name.so || exit; done
	for name in $(C_PLUGINS); do \
	    $(CC) -Os -Wall -Wextra -fPIC -shared -fvisibility=hidden -s -I plugins/include \
	        plugins/$$name/$$name.c -o $(TARGET)/plugins/$$name.so || exit; done

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

install: all plugins
	install -D -m 755 $(TARGET)/release/swiftd $(DESTDIR)$(PREFIX)/bin/swiftd
	install -d -m 755 $(DESTDIR)$(PLUGIN_DIR)
	install -m 755 $(LISTED:%=$(TARGET)/plugins/%.so) $(DESTDIR)$(PLUGIN_DIR)
	install -D -m 644 plugins/include/swiftd_plugin.h $(DESTDIR)$(PREFIX)/include/swiftd_plugin.h
	{ echo '# swiftd DIR --plugins FILE: take the # away before what is to be loaded.'; \
	  for name in $(LISTED); do echo "#$$name:$(PLUGIN_DIR)/\$$"; done; } > $(TARGET)/plugins.conf
	install -D -m 644 $(TARGET)/plugins.conf \
	    $(DESTDIR)$(PREFIX)/share/doc/swiftd/examples/plugins.conf

clean:
	$(CARGO) clean
