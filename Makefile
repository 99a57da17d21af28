# make test      the whole test suite, with what it needs installed
# make soak      random operations replayed from the watcher's lines, RUNS=100 times
# make bench     what it costs, beside the original, into docs/performance.md; ROWS='flood setup' and ROUNDS=5 choose
# make compare   the table of docs/compatibility.md: what the reference loses, doubles or misnames, and what this does
# make fuzz      each target in fuzz/ for SECONDS=60
# make miri      the decoder of the kernel's bytes, in Miri
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

.PHONY: all test test-needs soak compare bench fuzz fuzz-needs miri install uninstall

RUNS = 100
FUZZ_TARGETS = decode format ere fromfile
SECONDS = 60

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

# What it takes from the environment is told in benches/bench/main.rs; make passes on what it was given.
bench: TEST_NEEDS = inotify-tools:/usr/bin/inotifywait
bench: test-needs
	$(CARGO) bench --bench bench

# Of the release build, which is the one that is used.
compare: TEST_NEEDS = inotify-tools:/usr/bin/inotifywait git:git
compare: test-needs
	$(CARGO) build --release
	COMPARE_OURS=$(abspath $(TARGET))/release $(CARGO) test --test compare

fuzz: fuzz-needs
	for target in $(FUZZ_TARGETS); do \
		dict=; [ ! -e fuzz/$$target.dict ] || dict=-dict=fuzz/$$target.dict; \
		ASAN_OPTIONS=suppressions=fuzz/asan.supp $(CARGO) +nightly fuzz run $$target -- \
			$$dict -max_len=256 -max_total_time=$(SECONDS) || exit 1; \
	done

fuzz-needs:
	@need() { echo "make fuzz needs $$1" >&2; exit 1; }; \
	$(CARGO) +nightly --version >/dev/null 2>&1 || need "rustup and: rustup toolchain install nightly"; \
	command -v cargo-fuzz >/dev/null || need "cargo-fuzz: cargo install cargo-fuzz --locked"; \
	command -v c++ >/dev/null || need "a C++ compiler, for libFuzzer"

miri:
	@$(CARGO) +nightly miri --version >/dev/null 2>&1 || { \
		echo "make miri needs rustup and: rustup toolchain install nightly --component miri,rust-src" >&2; exit 1; }
	$(CARGO) +nightly miri test --locked --test properties

test-needs:
	@missing=; for need in $(TEST_NEEDS); do \
		what=$${need#*:}; \
		[ -e "$$what" ] || command -v "$$what" >/dev/null || missing="$$missing $${need%%:*}"; \
	done; \
	[ -z "$$missing" ] || { \
		echo "installing:$$missing"; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; } >/dev/null || \
		echo "cannot install:$$missing; what needs them is left out" >&2; \
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
