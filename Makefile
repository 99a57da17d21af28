# make test      the whole test suite, with what it needs installed
# make soak      random operations replayed from the watcher's lines, RUNS=100 times
# make install   DESTDIR= PREFIX=/usr/local
# make uninstall

PREFIX = /usr/local
DESTDIR =
CARGO = cargo
TARGET = $(or $(CARGO_TARGET_DIR),target)

BINDIR = $(DESTDIR)$(PREFIX)/bin
MANDIR = $(DESTDIR)$(PREFIX)/share/man/man1
BASHDIR = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
# Debian's zsh looks into vendor-completions, others into site-functions.
ZSHDIR = $(DESTDIR)$(PREFIX)/share/zsh/site-functions
FISHDIR = $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d

TOOLS = inotifywait inotifywatch

# What the tests use besides cargo: Debian's package, and the command or file that tells whether it is there.
TEST_NEEDS = inotify-tools:/usr/bin/inotifywait zsh:zsh fish:fish mandoc:mandoc dash:dash gcc:cc psmisc:fuser \
	bsdutils:script util-linux:unshare rsync:rsync shellcheck:shellcheck \
	iproute2:ip procps:pgrep mosquitto:/usr/sbin/mosquitto mosquitto-clients:mosquitto_pub tzdata:/usr/share/zoneinfo/Europe/Berlin \
	bash-completion:/usr/share/bash-completion/bash_completion

.PHONY: all test test-needs soak install uninstall

RUNS = 100

all:
	$(CARGO) build --release

$(TOOLS:%=$(TARGET)/release/%):
	$(CARGO) build --release

# Tests that lack something append a line to the file that SKIPPED_TESTS names. In CI they fail instead.
test: test-needs
	@rm -f target/skipped; mkdir -p target
	SKIPPED_TESTS=$(CURDIR)/target/skipped $(CARGO) test
	@if [ -s target/skipped ]; then cat target/skipped; fi; \
	echo "tests skipped for lack of a tool: $$(cat target/skipped 2>/dev/null | wc -l)"

soak:
	MODEL_RUNS=$(RUNS) $(CARGO) test --test model

test-needs:
	@missing=; for need in $(TEST_NEEDS); do \
		what=$${need#*:}; \
		[ -e "$$what" ] || command -v "$$what" >/dev/null || missing="$$missing $${need%%:*}"; \
	done; \
	[ -z "$$missing" ] || { \
		echo "installing for the tests:$$missing"; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; } >/dev/null || \
		echo "cannot install:$$missing; the tests that need them are skipped" >&2; \
	}

# Builds nothing by itself where the programs are there, so that `sudo make install` needs no cargo.
install: $(TOOLS:%=$(TARGET)/release/%)
	install -d "$(BINDIR)" "$(MANDIR)" "$(BASHDIR)" "$(ZSHDIR)" "$(FISHDIR)"
	for tool in $(TOOLS); do \
		install -m 755 $(TARGET)/release/$$tool "$(BINDIR)/$$tool" && \
		install -m 644 man/$$tool.1 "$(MANDIR)/$$tool.1" && \
		install -m 644 completions/$$tool.bash "$(BASHDIR)/$$tool.bash" && \
		install -m 644 completions/$$tool.fish "$(FISHDIR)/$$tool.fish" || exit 1; \
	done
	install -m 644 completions/_inotifywait "$(ZSHDIR)/_inotifywait"
	install -m 755 packaging/sync/inotify-rsync "$(BINDIR)/inotify-rsync"
	install -m 644 man/inotify-rsync.1 "$(MANDIR)/inotify-rsync.1"

uninstall:
	for tool in $(TOOLS); do \
		rm -f "$(BINDIR)/$$tool" "$(MANDIR)/$$tool.1" "$(BASHDIR)/$$tool.bash" "$(FISHDIR)/$$tool.fish"; \
	done
	rm -f "$(ZSHDIR)/_inotifywait" "$(BINDIR)/inotify-rsync" "$(MANDIR)/inotify-rsync.1"
