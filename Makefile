# make                    Build the programs (cargo build --release)
# make help               Print this list
#
# make test               Run all tests. Print the Debian packages that are missing for them, then install these by apt-get
# make generate           Renew the text made from the tables of options and events, and from those of docs/
# make check-rules        Run the watcher on a simulated system: all histories of DEPTH=4 operations, RANDOM_HISTORIES=100000 longer ones
# make soak               Replay random operations from the watcher's lines, RUNS=100 times
# make fuzz               Run each target in fuzz/ for SECONDS=60
# make miri               Run the decoders of the kernel's bytes in Miri
# make mutants            Find changes in MUTATED='src/FILE.rs ...' that no test notices, into target/mutants.out; MUTANTS='--shard 0/8'
# make cross              Build for other machines and with the oldest Rust; compare the 32-bit x86 build with inotify-tools
# make oracle-4           Compare with inotify-tools 4.x, which make reference-4 fetches into target
#
# make bench              Measure cost beside inotify-tools, into docs/performance.md and docs/setup.svg; ROWS='flood setup' ROUNDS=3 SCALE=1
# make bench-sync         Measure inotify-rsync beside sync.sh, lsyncd and ANOTHER=script, as root, into docs/sync.md; ROUNDS=3
# make compare            Count what both programs lose, double or misname, into docs/compatibility.md
# make other-tools        Try fswatch, watchexec and inotify-tools in the same cases, if they are installed (python3)
# make demo               Record docs/demo.svg, at the top of README.md (python3)
#
# make install            Install below PREFIX=/usr/local, in DESTDIR=
# make uninstall          Remove what was installed
# make deb                Build a package that replaces Debian's inotify-tools, into target/packages, as the following do
# make rpm                Build a package for RPM systems
# make arch, make alpine  Build a package for Arch (makepkg) or Alpine (abuild), not as root
# make static             Build an archive of programs that need no library; STATIC=TARGET for another machine
# make dist               Archive the source; make vendored: with all dependencies, to build without a network
# make try-deb            Install the .deb in a copy of this system's root, as root, and switch back
# make try-packages       Build the packages twice and compare them, and build the vendored source offline
# make tag-check          Check that TAG=v1.2.3 is this version

PREFIX = /usr/local
DESTDIR =
CARGO = cargo
TARGET = $(or $(CARGO_TARGET_DIR),target)

BINDIR = $(PREFIX)/bin
SHAREDIR = $(PREFIX)/share
# Debian's zsh looks into vendor-completions, others into site-functions.
ZSHDIR = $(SHAREDIR)/zsh/site-functions
DOCDIR = $(SHAREDIR)/doc/$(NAME)
LICENSEDIR = $(SHAREDIR)/licenses/$(NAME)

# The name of the package; inotify-tools is the program that it replaces.
NAME = inotify-tools-rs
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SYNOPSIS = $(shell sed -n 's/^description = "\(.*\)"/\1/p' Cargo.toml)
# Who makes a package. Debian's tools need an address; who publishes one sets his own.
MAINTAINER = $(NAME) developers <$(NAME)@localhost>
NO_HOST = --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog
TOOLS = inotifywait inotifywatch

# What the tests use besides cargo: Debian's package, and a command or file that it contains.
TEST_NEEDS = inotify-tools:/usr/bin/inotifywait zsh:zsh fish:fish mandoc:mandoc dash:dash gcc:cc psmisc:fuser \
	bsdutils:script util-linux:unshare tzdata:/usr/share/zoneinfo/Europe/Berlin \
	bash-completion:/usr/share/bash-completion/bash_completion \
	e2fsprogs:/usr/sbin/mkfs.ext4 xfsprogs:/usr/sbin/mkfs.xfs btrfs-progs:/usr/sbin/mkfs.btrfs mount:mount \
	systemd:systemd-analyze rsync:rsync openssh-server:/usr/sbin/sshd openssh-client:ssh shellcheck:shellcheck \
	procps:pgrep iproute2:ip mosquitto:/usr/sbin/mosquitto mosquitto-clients:mosquitto_pub bsdextrautils:col \
	python3-yaml:/usr/lib/python3/dist-packages/yaml jq:jq tmux:tmux strace:strace git:git

.PHONY: all help test test-needs generate demo other-tools check-rules soak compare bench bench-sync fuzz fuzz-needs miri mutants cross reference-4 oracle-4 install uninstall \
	packaged deb try-deb rpm static dist vendored arch alpine try-packages tag-check

RUNS = 100
FUZZ_TARGETS = batch decode fanotify format ere fromfile limits patterns
SECONDS = 60

all:
	$(CARGO) build --release

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

$(TOOLS:%=$(TARGET)/release/%):
	$(CARGO) build --release

# Tests that lack something append a line to the file that SKIPPED_TESTS names. In CI they fail instead.
test: test-needs
	@rm -f target/skipped; mkdir -p target
	SKIPPED_TESTS=$(CURDIR)/target/skipped $(CARGO) test
	@if [ -s target/skipped ]; then cat target/skipped; fi; \
	echo "tests skipped for lack of a tool: $$(cat target/skipped 2>/dev/null | wc -l)"

generate:
	GENERATE=1 $(CARGO) test --test generated

demo: $(TARGET)/release/inotifywait
	docs/demo.py $(TARGET)/release/inotifywait docs/demo.svg

# WATCHED are the options of inotifywait for it.
WATCHED = -mrq -e create,moved_to {exclude=--exclude /node_modules/} --format %w%f d
other-tools: $(TARGET)/release/inotifywait
	docs/other-tools.py "this=$(abspath $(TARGET))/release/inotifywait $(WATCHED)" \
		"inotify-tools 3.22=/usr/bin/inotifywait $(WATCHED)" \
		"inotify-tools 4.x=$(abspath $(REFERENCE_4))/bin/inotifywait $(WATCHED)" \
		"fswatch=fswatch -r {exclude=-e /node_modules/} d" \
		"watchexec=watchexec -q --only-emit-events --emit-events-to=stdio -w d {exclude=-i **/node_modules/**}"

DEPTH = 4
RANDOM_HISTORIES = 100000
check-rules:
	RULES_RANDOM=$(RANDOM_HISTORIES) $(CARGO) test --profile rules --test rules random -- --nocapture
	RULES_DEPTH=$(DEPTH) $(CARGO) test --profile rules --test rules every -- --nocapture
	NAMES_DEPTH=3 $(CARGO) test --profile rules --test names every -- --nocapture
	JUDGE_EVERYWHERE=$(DEPTH) JUDGE_OPERATIONS=$(DEPTH) JUDGE_SHARE=1 JUDGE_AT_ONCE=0 $(CARGO) test --profile rules --lib \
		every_short_history -- --nocapture --skip watcher_over
	JUDGE_EVERYWHERE=3 JUDGE_OPERATIONS=3 JUDGE_SHARE=1 JUDGE_AT_ONCE=0 $(CARGO) test --profile rules --lib \
		every_short_history_of_the_watcher -- --nocapture

soak:
	MODEL_RUNS=$(RUNS) $(CARGO) test --test model

# benches/bench/main.rs explains the variables; make passes them on.
bench: TEST_NEEDS = inotify-tools:/usr/bin/inotifywait e2fsprogs:/usr/sbin/mkfs.ext4 btrfs-progs:/usr/sbin/mkfs.btrfs
bench: test-needs
	$(CARGO) build --release --target-dir $(TARGET)/installed
	RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build --release --target $(STATIC) --target-dir $(TARGET)/installed
	BENCH_RELEASE=$(abspath $(TARGET))/installed/release/inotifywait \
	BENCH_STATIC=$(abspath $(TARGET))/installed/$(STATIC)/release/inotifywait $(CARGO) bench --bench bench
	$(MAKE) generate

# What it takes from the environment is told in packaging/sync/bench. ANOTHER is a script with the same options.
ANOTHER =
bench-sync: TEST_NEEDS = rsync:rsync lsyncd:lsyncd procps:pgrep
bench-sync: test-needs
	$(CARGO) build --release --target-dir $(TARGET)/installed
	packaging/sync/bench $(TARGET)/installed/release/inotifywait $(ANOTHER)

# Of the release build, which is the one that is used.
compare: TEST_NEEDS = inotify-tools:/usr/bin/inotifywait git:git
compare: test-needs
	$(CARGO) build --release
	COMPARE_OURS=$(abspath $(TARGET))/release $(CARGO) test --test compare
	$(MAKE) generate

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

cross: TEST_NEEDS = inotify-tools:/usr/bin/inotifywait
cross: test-needs
	.ci/cross

# The parts outside the core, and the tests that reach them: first the unit tests, which are quick, then for the mutants
# that those missed all the tests. The status is 2 if some are missed even so. Only these tests are built, since building is
# most of the time. The judge of the core takes minutes and reaches none of these parts.
# `|` joins masks without a bit in common, so that `^` is the same.
MUTATED = src/event.rs src/filter.rs src/format.rs src/sink.rs src/stats.rs src/timefmt.rs
REACHING = --lib --test=properties --test=timefmt --test=options --test=output --test=oracle
MUTANTS =
mutate = CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) mutants --in-place --output $(abspath $(TARGET)) $(MUTATED:%=--file %) \
	--exclude-re 'replace \| with \^' --baseline skip $(MUTANTS) --cargo-arg=--locked
mutants: TEST_NEEDS = inotify-tools:/usr/bin/inotifywait
mutants: test-needs
	@command -v cargo-mutants >/dev/null || { \
		echo "make mutants needs cargo-mutants: cargo install cargo-mutants --locked" >&2; exit 1; }
	@git diff --quiet HEAD -- src || { echo "make mutants changes src while it runs: commit first" >&2; exit 1; }
	$(mutate) --timeout 60 --cargo-arg=--lib -- -- --skip judge:: || case $$? in 2 | 3) ;; *) exit 1 ;; esac
	$(mutate) --timeout 300 --iterate $(REACHING:%=--cargo-arg=%) -- -- --skip judge::

REFERENCE_4 = $(TARGET)/reference-4
reference-4:
	.ci/reference-4 $(REFERENCE_4)

# Every user has to reach it.
oracle-4: reference-4
	reachable=$$(mktemp -d) && trap 'rm -r "$$reachable"' EXIT && chmod 755 "$$reachable" && \
	cp -a $(REFERENCE_4)/. "$$reachable" && \
	ORACLE_REFERENCE_DIR=$$reachable/bin $(CARGO) test --locked --test oracle

test-needs:
	@missing=; for need in $(TEST_NEEDS); do \
		what=$${need#*:}; \
		[ -e "$$what" ] || command -v "$$what" >/dev/null || missing="$$missing $${need%%:*}"; \
	done; \
	[ -z "$$missing" ] || { \
		echo "make $(or $(firstword $(MAKECMDGOALS)),all) is about to install these packages by apt-get:$$missing"; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; } >/dev/null || \
		echo "cannot install:$$missing; what needs them is left out" >&2; \
	}

# What is installed where: the one list, for install, uninstall and every package. $(1) is done for a directory, the
# files' mode and the files, and for a directory and those of its files that go by an fsnotify name, too.
define everything
$(call $(1),$(BINDIR),755,$(TOOLS:%=$(TARGET)/release/%) packaging/sync/inotify-rsync)
$(call $(1)_fsnotify,$(BINDIR),$(TOOLS))
$(call $(1),$(SHAREDIR)/man/man1,644,$(wildcard man/*.1))
$(call $(1),$(SHAREDIR)/bash-completion/completions,644,$(wildcard completions/*.bash))
$(call $(1),$(SHAREDIR)/fish/vendor_completions.d,644,$(wildcard completions/*.fish))
$(call $(1),$(ZSHDIR),644,$(wildcard completions/_*))
$(call $(1),$(PREFIX)/lib/systemd/system,644,$(wildcard packaging/systemd/*))
$(call $(1),$(DOCDIR)/examples,644,$(wildcard packaging/examples/*))
$(call $(1),$(DOCDIR),644,$(wildcard *.md))
$(call $(1),$(DOCDIR)/docs,644,$(wildcard docs/*.md docs/*.svg))
$(call $(1),$(LICENSEDIR),644,LICENSE-MIT LICENSE-APACHE)
endef
put = install -d "$(DESTDIR)$(1)" && install -m $(2) $(3) "$(DESTDIR)$(1)"
drop = ! cd "$(DESTDIR)$(1)" 2>/dev/null || rm -f $(notdir $(3))
put_fsnotify = cd "$(DESTDIR)$(1)"$(foreach tool,$(2), && ln -sf $(tool) $(tool:inotify%=fsnotify%))
drop_fsnotify = ! cd "$(DESTDIR)$(1)" 2>/dev/null || rm -f $(2:inotify%=fsnotify%)

# Builds nothing by itself where the programs are there, so that `sudo make install` needs no cargo.
install: $(TOOLS:%=$(TARGET)/release/%)
	$(call everything,put)

uninstall:
	$(call everything,drop)
	rmdir "$(DESTDIR)$(DOCDIR)/examples" "$(DESTDIR)$(DOCDIR)/docs" "$(DESTDIR)$(DOCDIR)" "$(DESTDIR)$(LICENSEDIR)" 2>/dev/null || :

# The packages hold what `make install` puts below STAGE; what they say of themselves is in Cargo.toml and packaging/. Nothing
# in them tells when or where they were made: two builds of one source are the same, byte by byte.
PACKAGES = $(TARGET)/packages
STAGE = $(TARGET)/stage/$@
export SOURCE_DATE_EPOCH ?= $(shell if [ -e .git ]; then git log -1 --format=%ct; else stat -c %Y Cargo.toml; fi)
CARGO_HOME ?= $(HOME)/.cargo
anywhere = $(foreach place,$(wildcard $(CARGO_HOME)/registry/src/*) $(CURDIR)/vendor,--remap-path-prefix=$(place)=/crates) \
	--remap-path-prefix=$(CURDIR)=/$(NAME)
# A target directory of its own: with other flags all would be built again.
BUILT = $(TARGET)/packaged
build = RUSTFLAGS='$(anywhere) $(1)' $(CARGO) build --release --locked --target-dir $(BUILT)$(2)
stage = rm -rf $(STAGE) && mkdir -p $(PACKAGES) && $(MAKE) -s install DESTDIR=$(STAGE) PREFIX=/usr TARGET=$(BUILT)$(1)
# Of a directory, as an archive.
archive = tar --sort=name --mtime=@$(SOURCE_DATE_EPOCH) --owner=0 --group=0 --numeric-owner --mode=u+rw,go=rX -C $(1) -cf - $(2) | \
	gzip -9n >$(PACKAGES)/$(3).tar.gz
lacks = command -v $(1) >/dev/null || { echo "make $@ needs $(1): $(2)" >&2; exit 1; }
# Fails unless a command lists the files of STAGE, each with where it leads if it is a link.
same = [ "$$($(1) | sort)" = "$$(cd $(STAGE) && find usr ! -type d -printf '%p %l\n' | sort)" ]

packaged:
	$(call build,)

deb: packaged
	@$(call lacks,dpkg-deb,package dpkg)
	@$(call lacks,dpkg-shlibdeps,package dpkg-dev)
	$(call stage) ZSHDIR=/usr/share/zsh/vendor-completions LICENSEDIR=/licenses
	rm -r $(STAGE)/licenses
	rm -f $(PACKAGES)/$(NAME)_*.deb
	MAINTAINER='$(MAINTAINER)' packaging/debian/build $(STAGE) $(NAME) $(VERSION) '$(SYNOPSIS)' $(PACKAGES)
	! command -v lintian >/dev/null || lintian --fail-on error $(NO_HOST) $(PACKAGES)/$(NAME)_*.deb

try-deb: deb
	packaging/try-deb $(PACKAGES)/$(NAME)_*.deb

rpm: packaged
	@$(call lacks,rpmbuild,package rpm or rpm-build)
	$(call stage)
	rm -f $(PACKAGES)/$(NAME)-*.rpm
	rpmbuild -bb --quiet --define '_topdir $(abspath $(STAGE)).build' --define '_rpmdir $(abspath $(PACKAGES))' \
		--define '_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' --define 'stage $(abspath $(STAGE))' \
		--define 'version $(VERSION)' --define 'synopsis $(SYNOPSIS)' packaging/rpm/$(NAME).spec
	$(call same,rpm -qp --qf '[%{FILEMODES:perms}%{FILENAMES} %{FILELINKTOS}\n]' $(PACKAGES)/$(NAME)-*.rpm | \
		sed '/^d/d; s|^[^/]*/||')

# With glibc it is the same program. With musl, regular expressions, --timefmt and the words of errors are musl's.
STATIC = $(shell rustc -vV | sed -n 's/^host: //p')
static:
	$(call build,-C target-feature=+crt-static, --target $(STATIC))
	$(call stage,/$(STATIC))
	$(call archive,$(STAGE),usr,$(NAME)-$(VERSION)-$(STATIC)-static)

dist:
	@$(call lacks,git,the source is what is committed)
	mkdir -p $(PACKAGES)
	git archive --prefix=$(NAME)-$(VERSION)/ HEAD | gzip -9n >$(PACKAGES)/$(NAME)-$(VERSION).tar.gz

vendored: dist
	rm -rf $(STAGE) && mkdir -p $(STAGE)
	tar -C $(STAGE) -xf $(PACKAGES)/$(NAME)-$(VERSION).tar.gz
	cd $(STAGE)/$(NAME)-$(VERSION) && mkdir -p .cargo && $(CARGO) vendor --locked vendor >>.cargo/config.toml
	$(call archive,$(STAGE),$(NAME)-$(VERSION),$(NAME)-$(VERSION)-vendored)

# In copies, as both write beside their recipe.
arch alpine: dist
	@$(by_$@)
	@[ "$$(id -u)" != 0 ] || { echo "make $@: $(word 1,$(made_by_$@)) refuses to be run by root" >&2; exit 1; }
	rm -rf $(STAGE) && mkdir -p $(STAGE)
	cp packaging/$@/* $(PACKAGES)/$(NAME)-$(VERSION).tar.gz $(STAGE)
	cd $(STAGE) && $(call making_$@)
by_arch = $(call lacks,makepkg,it is part of pacman$(comma) Arch's package manager)
by_alpine = $(call lacks,abuild,it is Alpine's package abuild$(comma) and needs a key by abuild-keygen)
made_by_arch = makepkg
made_by_alpine = abuild
making_arch = PKGDEST=$(abspath $(PACKAGES)) makepkg -f $(MAKEPKG)
making_alpine = abuild checksum && REPODEST=$(abspath $(PACKAGES)) abuild -r
comma = ,

try-packages: TEST_NEEDS = dpkg-dev:dpkg-shlibdeps rpm:rpmbuild util-linux:unshare
try-packages: test-needs
	packaging/try-packages

# Where the version stands besides Cargo.toml, tests/packaging.rs looks after.
tag-check:
	@[ "$(TAG)" = "v$(VERSION)" ] || { echo "the tag is '$(TAG)', Cargo.toml has $(VERSION)" >&2; exit 1; }
	@grep -q '^## \[$(VERSION)\] - ' CHANGELOG.md || { echo "CHANGELOG.md has no section $(VERSION)" >&2; exit 1; }
