# Thin: cargo does the work. `make run` and `make test` need Rust and a C compiler.

CARGO ?= cargo
DESTDIR ?=
PREFIX ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/swiftd
# As the GNU and the file system's standards have it: /etc belongs to the system's own packages.
SYSCONFDIR ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
UNITDIR ?= $(LIBDIR)/systemd/system
SYSUSERSDIR ?= $(LIBDIR)/sysusers.d
TMPFILESDIR ?= $(LIBDIR)/tmpfiles.d
PLUGIN_DIR ?= $(LIBDIR)/swiftd/plugins
CONFDIR := $(SYSCONFDIR)/swiftd
# Where cargo puts things.
TARGET := $(or $(CARGO_TARGET_DIR),target)
# small: a quarter less to store, a little slower.
PROFILE ?= release
PROGRAM ?= $(TARGET)/$(PROFILE)/swiftd
PLUGINS ?= $(TARGET)/plugins
LISTEN ?= 127.0.0.1:8080

# Every plugin of the repository, by its name: what is a cdylib, and what is in C.
RUST_PLUGINS := $(patsubst plugins/%/Cargo.toml,%,$(shell grep -l cdylib plugins/*/Cargo.toml))
C_PLUGINS := $(basename $(notdir $(wildcard plugins/*/*.c)))
# Those that forbid or rewrite come first in the sample list.
FIRST := $(foreach name,headers access basic_auth redirect,$(filter $(name),$(RUST_PLUGINS)))
LISTED := $(FIRST) $(filter-out $(FIRST),$(RUST_PLUGINS) $(C_PLUGINS))
MAN_PAGES := $(wildcard packaging/man/*.[1-8])
DOCUMENTS := README.md $(wildcard docs/*.md)
UNITS := swiftd.service swiftd.socket
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

# The static program: for the machine that builds it, unless told otherwise.
STATIC_TARGET ?= $(shell rustc -vV | sed -n 's/^host: //p')
STATIC := $(TARGET)/$(STATIC_TARGET)/static/swiftd
# Those that are built in, in the order of a list.
BUILTIN := headers access basic_auth redirect cgi dir_index status

.PHONY: all run plugins static test test-static fmt lint doc bench fuzz clean
.PHONY: install install-files install-program install-plugins install-dev install-man install-doc
.PHONY: install-service install-config install-static uninstall deb

all:
	$(CARGO) build --profile $(PROFILE)

run: all $(TARGET)/site.made
	$(PROGRAM) $(TARGET)/site --listen $(LISTEN)

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

# One file that needs nothing else, with the plugins inside: for containers and initramfs.
static:
	RUSTFLAGS="$(RUSTFLAGS) -C target-feature=+crt-static" \
	    $(CARGO) build --profile static --features builtin --target $(STATIC_TARGET)

test: fmt lint
	$(CARGO) test --workspace --no-fail-fast
	$(MAKE) doc

test-static: static
	$(CARGO) clippy --features builtin --lib --bins -- -D warnings
	SWIFTD_STATIC=$(STATIC) $(CARGO) test --test static_build -- --ignored

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

# Building and installing are two steps for packagers: `make all plugins`, then `make install-files`
# with DESTDIR and PREFIX=/usr.
install: all plugins
	$(MAKE) install-files

# What was built, to where packagers expect it.
install-files: install-program install-plugins install-dev install-man install-doc \
    install-service install-config

install-program:
	install -D -m 755 $(PROGRAM) $(DESTDIR)$(SBINDIR)/swiftd

install-plugins:
	install -d -m 755 $(DESTDIR)$(PLUGIN_DIR)
	install -m 755 $(LISTED:%=$(PLUGINS)/%.so) $(DESTDIR)$(PLUGIN_DIR)

install-dev:
	mkdir -p $(TARGET)
	install -D -m 644 plugins/include/swiftd_plugin.h $(DESTDIR)$(INCLUDEDIR)/swiftd_plugin.h
	sed -e 's,@PREFIX@,$(PREFIX),' -e 's,@INCLUDEDIR@,$(INCLUDEDIR),' \
	    -e 's,@PLUGIN_DIR@,$(PLUGIN_DIR),' -e 's,@VERSION@,$(VERSION),' \
	    packaging/swiftd-plugin.pc.in > $(TARGET)/swiftd-plugin.pc
	install -D -m 644 $(TARGET)/swiftd-plugin.pc \
	    $(DESTDIR)$(LIBDIR)/pkgconfig/swiftd-plugin.pc
	install -D -m 644 plugins/hello_c/hello_c.c $(DESTDIR)$(DOCDIR)/examples/hello_c.c

install-man:
	for page in $(MAN_PAGES); do \
	    install -D -m 644 $$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/} || exit; done

# What swiftd(8) refers to.
install-doc:
	install -d -m 755 $(DESTDIR)$(DOCDIR)
	install -m 644 $(DOCUMENTS) $(DESTDIR)$(DOCDIR)

# The files name /usr and /etc; PATHS makes them name where things are.
PATHS := -e 's,/usr/sbin/swiftd,$(SBINDIR)/swiftd,' -e 's,/usr/lib/swiftd/plugins,$(PLUGIN_DIR),' \
    -e 's,/etc/swiftd,$(CONFDIR),'

install-service:
	mkdir -p $(TARGET)
	install -d -m 755 $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSUSERSDIR) $(DESTDIR)$(DOCDIR)/examples
	for unit in $(UNITS); do sed $(PATHS) packaging/systemd/$$unit > $(TARGET)/$$unit && \
	    install -m 644 $(TARGET)/$$unit $(DESTDIR)$(UNITDIR) || exit; done
	sed $(PATHS) packaging/systemd/older-systemd.conf > $(TARGET)/older-systemd.conf
	install -m 644 $(TARGET)/older-systemd.conf $(DESTDIR)$(DOCDIR)/examples
	install -m 644 packaging/systemd/sysusers.conf $(DESTDIR)$(SYSUSERSDIR)/swiftd.conf
	install -D -m 644 packaging/systemd/tmpfiles.conf $(DESTDIR)$(TMPFILESDIR)/swiftd.conf

# Of the sample, what a server has that a service manager starts.
SERVICE := -e 's,^\#listen = .*,listen = ["0.0.0.0:80"\, "[::]:80"],' \
    -e 's,^\#pid-file = .*,pid-file = "/run/swiftd/swiftd.pid",' \
    -e 's,^\#plugins = .*,plugins = "/etc/swiftd/swiftd-plugin.conf",' \
    -e 's,^\#access = "off",access = "/var/log/swiftd/access.log",'

# What an operator has changed stays as it is; the samples are beside the documents as well.
install-config:
	mkdir -p $(TARGET)
	install -D -m 644 packaging/index.html $(DESTDIR)$(PREFIX)/share/swiftd/index.html
	sed $(SERVICE) $(PATHS) packaging/swiftd.conf > $(TARGET)/swiftd.conf
	{ echo '# The plugins that swiftd loads; swiftd-plugin.conf(5). Saving this file loads what is new.'; \
	  echo '# Take the # away before what is to be loaded.'; \
	  for name in $(LISTED); do echo "#$$name:$(PLUGIN_DIR)/\$$"; done; \
	} > $(TARGET)/swiftd-plugin.conf
	sed $(PATHS) packaging/logrotate/swiftd > $(TARGET)/swiftd.logrotate
	install -d -m 755 $(DESTDIR)$(CONFDIR)/conf.d $(DESTDIR)$(DOCDIR)/examples
	for file in swiftd.conf swiftd-plugin.conf; do \
	    install -m 644 $(TARGET)/$$file $(DESTDIR)$(DOCDIR)/examples && \
	    { [ -e $(DESTDIR)$(CONFDIR)/$$file ] || \
	      install -m 644 $(TARGET)/$$file $(DESTDIR)$(CONFDIR); } || exit; done
	[ -e $(DESTDIR)$(SYSCONFDIR)/logrotate.d/swiftd ] || install -D -m 644 \
	    $(TARGET)/swiftd.logrotate $(DESTDIR)$(SYSCONFDIR)/logrotate.d/swiftd

# All that the static program needs, as the root of a file system.
install-static:
	mkdir -p $(TARGET)
	install -D -m 755 $(STATIC) $(DESTDIR)$(SBINDIR)/swiftd
	install -d -m 755 $(DESTDIR)$(CONFDIR) $(DESTDIR)/srv
	install -d -m 1777 $(DESTDIR)/tmp
	{ echo '# The plugins that are built in; take the # away before what is to be used.'; \
	  for name in $(BUILTIN); do echo "#$$name:builtin/\$$"; done; \
	} > $(TARGET)/swiftd-plugin.builtin
	install -m 644 $(TARGET)/swiftd-plugin.builtin $(DESTDIR)$(CONFDIR)/swiftd-plugin.conf

# Configuration that differs from the sample stays.
uninstall:
	for file in swiftd.conf swiftd-plugin.conf; do \
	    ! cmp -s $(DESTDIR)$(CONFDIR)/$$file $(DESTDIR)$(DOCDIR)/examples/$$file || \
	        rm -f $(DESTDIR)$(CONFDIR)/$$file; done
	rm -f $(DESTDIR)$(SBINDIR)/swiftd $(LISTED:%=$(DESTDIR)$(PLUGIN_DIR)/%.so)
	rm -f $(DESTDIR)$(INCLUDEDIR)/swiftd_plugin.h
	rm -f $(DESTDIR)$(LIBDIR)/pkgconfig/swiftd-plugin.pc
	rm -f $(UNITS:%=$(DESTDIR)$(UNITDIR)/%) $(DESTDIR)$(SYSUSERSDIR)/swiftd.conf
	rm -f $(DESTDIR)$(TMPFILESDIR)/swiftd.conf
	rm -f $(DESTDIR)$(SYSCONFDIR)/logrotate.d/swiftd
	for page in $(MAN_PAGES); do \
	    rm -f $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}; done
	rm -f $(DESTDIR)$(PREFIX)/share/swiftd/index.html
	rm -f $(addprefix $(DESTDIR)$(DOCDIR)/,$(notdir $(DOCUMENTS)))
	rm -f $(addprefix $(DESTDIR)$(DOCDIR)/examples/,hello_c.c older-systemd.conf swiftd.conf \
	    swiftd-plugin.conf)
	for directory in $(DOCDIR)/examples $(DOCDIR) $(PREFIX)/share/swiftd $(PLUGIN_DIR) $(dir $(PLUGIN_DIR)) \
	    $(CONFDIR)/conf.d $(CONFDIR); do \
	    rmdir $(DESTDIR)$$directory 2>/dev/null || :; done

# The Debian packages swiftd and swiftd-dev. Needs `cargo install cargo-deb`, which looks in target/.
DEB := target/deb
deb: all plugins
	rm -rf $(DEB)
	$(MAKE) DESTDIR=$(abspath $(DEB)) PREFIX=/usr install-files
	gzip -9nr $(DEB)/usr/share/man
	$(CARGO) deb --no-build --no-strip --output $(TARGET)/debian/
	$(CARGO) deb --no-build --no-strip --variant dev --output $(TARGET)/debian/

clean:
	$(CARGO) clean
