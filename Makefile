# mailkeyd: make, make demo, make check [T=name] [SAN=1], make install [DESTDIR=]

VERSION = 0.1
PREFIX = /usr/local
BINDIR = $(PREFIX)/bin
SBINDIR = $(PREFIX)/sbin
LIBEXECDIR = $(PREFIX)/libexec/mailkeyd
MANDIR = $(PREFIX)/share/man
DOCDIR = $(PREFIX)/share/doc/mailkeyd
DESTDIR =

CC = gcc
AR = gcc-ar
ifdef SAN
B = build-san
OPT = -O1 -fsanitize=address,undefined -fno-sanitize-recover=all \
    -fno-omit-frame-pointer
LDOPT = -fsanitize=address,undefined
DEFS = -DSANITIZED
else
B = build
OPT = -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong \
    -fstack-clash-protection -fcf-protection
LDOPT =
DEFS =
endif

WARN = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
    -Wmissing-prototypes -Wwrite-strings -Wformat=2 -Wvla
CFLAGS = -std=c11 -g $(OPT) -fPIE $(WARN)
CPPFLAGS = -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 $(DEFS) \
    -DVERSION='"$(VERSION)"' -DLIBEXECDIR='"$(LIBEXECDIR)"' \
    -DSBINDIR='"$(SBINDIR)"'
LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDOPT)

# pkg-config is of no use for libetpan: its flags name files of another
# package.  Berkeley DB has none.
LIBS_pgp = -lcrypto -lsodium
LIBS_db = -ldb-5.3 -lunistring
LIBS_etpan = -letpan
# The parser forks for each mail, and each library that is mapped makes that
# dearer: libetpan brings a dozen that only its network parts need.  Where its
# archive is installed, as Debian does, the parser takes its readers out of that.
ETPAN_A := $(shell $(CC) -print-file-name=libetpan.a)
LIBS_etpan_mime = $(if $(filter /%,$(ETPAN_A)),$(ETPAN_A),$(LIBS_etpan))
LIBS_handlers = -lpcre2-8
# For sd_notify(3) and sockets handed over; mailkeyd does without.
ifneq ($(wildcard /usr/include/systemd/sd-daemon.h),)
LIBS_service = -lsystemd
CPPFLAGS += -DHAVE_SYSTEMD
endif

PROGRAMS = mailkeyd mailkeyctl mailkeyd-parser mailkeyd-verifier \
    mailkeyd-checker mailkeyd-sender mailkeyd-fetcher
MAINS = main mailkeyctl parser verifier checker send fetch

src = $(sort $(wildcard $(1)/*.c))
objs = $(patsubst %.c,$(B)/obj/%.o,$(1))

PGP_OBJS = $(call objs,$(call src,pgp))
DB_OBJS = $(call objs,$(call src,db))
HANDLER_OBJS = $(call objs,$(call src,handlers))
MAIL_OBJS = $(call objs,$(filter-out $(MAINS:%=mailkeyd/%.c),\
    $(call src,mailkeyd)))

UNITS = $(patsubst tests/unit/%.c,$(B)/unit/%,$(call src,tests/unit))
TOOLS = $(patsubst tests/tools/%.c,$(B)/tools/%,$(call src,tests/tools))
BENCHES = $(patsubst tests/bench/%.c,$(B)/bench/%,$(filter-out \
    tests/bench/syncs.c,$(call src,tests/bench))) $(B)/bench/syncs.so
FUZZERS = $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(call src,tests/fuzz))

A_pgp = $(B)/libpgp.a
A_db = $(B)/libdb.a
A_handlers = $(B)/libhandlers.a
A_mail = $(B)/libmail.a
ALL_A = $(A_mail) $(A_handlers) $(A_db) $(A_pgp)
ALL_LIBS = $(LIBS_etpan) $(LIBS_handlers) $(LIBS_db) $(LIBS_pgp) -lconfuse -lgpgme -lseccomp \
    $(LIBS_service) -lpthread

# V=1 shows the commands.
ifdef V
Q =
say = :
else
Q = @
say = printf '  %-5s %s\n'
endif

all: $(PROGRAMS:%=$(B)/%)

# Rebuilds everything when the flags change.
FLAGS = $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)
$(B)/flags: force
	@mkdir -p $(B)
	@printf '%s\n' $(call quote,$(FLAGS)) | cmp -s - $@ || \
	    printf '%s\n' $(call quote,$(FLAGS)) > $@
quote = '$(subst ','\'',$(1))'

$(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(say) CC $<; \
	    $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(A_pgp): $(PGP_OBJS)
$(A_db): $(DB_OBJS)
$(A_handlers): $(HANDLER_OBJS)
$(A_mail): $(MAIL_OBJS)
$(ALL_A):
	@rm -f $@
	$(Q)$(say) AR $@; \
	    $(AR) rcs $@ $^

LINK = $(Q)$(say) LINK $@; $(CC) $(CFLAGS) $(LDFLAGS) -o $@

$(B)/mailkeyd: $(B)/obj/mailkeyd/main.o $(ALL_A)
	$(LINK) $^ $(ALL_LIBS)
$(B)/mailkeyctl: $(B)/obj/mailkeyd/mailkeyctl.o $(A_mail) $(A_pgp)
	$(LINK) $^ -lconfuse $(LIBS_pgp)
# The helpers are linked with what they need and no more: none of them can
# reach the store.
$(B)/mailkeyd-parser: $(B)/obj/mailkeyd/parser.o $(A_mail) $(A_pgp)
	$(LINK) $^ $(LIBS_etpan_mime) $(LIBS_pgp) -lseccomp
$(B)/mailkeyd-verifier: $(B)/obj/mailkeyd/verifier.o $(A_mail) $(A_pgp)
	$(LINK) $^ $(LIBS_pgp) -lseccomp
$(B)/mailkeyd-checker: $(B)/obj/mailkeyd/checker.o $(A_mail) $(A_pgp)
	$(LINK) $^ $(LIBS_pgp) -lgpgme
$(B)/mailkeyd-sender: $(B)/obj/mailkeyd/send.o $(A_mail)
	$(LINK) $^ $(LIBS_etpan)
$(B)/mailkeyd-fetcher: $(B)/obj/mailkeyd/fetch.o $(A_mail) $(A_pgp)
	$(LINK) $^ $(LIBS_etpan) -lgnutls -lseccomp

# The core with points at which tests end it (db/fault.h).
FAULT_OBJS = $(patsubst %.c,$(B)/obj/faults/%.o,\
    $(shell grep -l '"db/fault.h"' db/*.c mailkeyd/*.c))
$(B)/obj/faults/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(say) CC $@; \
	    $(CC) $(CPPFLAGS) -DFAULTS $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/faults/mailkeyd: $(B)/obj/mailkeyd/main.o $(FAULT_OBJS) $(ALL_A)
	@mkdir -p $(@D)
	$(LINK) $^ $(ALL_LIBS)

# A version that comes after this one, in that it writes another form of store:
# for the test of an upgrade.
NEXT_OBJS = $(patsubst %.c,$(B)/obj/next/%.o,$(call src,db))
$(B)/obj/next/db/internal.h: db/internal.h
	@mkdir -p $(@D)
	@awk '/^#define KS_SCHEMA / { $$3++ } { print }' $< > $@
$(B)/obj/next/%.o: %.c $(B)/flags $(B)/obj/next/db/internal.h
	@mkdir -p $(@D)
	$(Q)$(say) CC $@; \
	    $(CC) -I$(B)/obj/next $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/next/mailkeyd: $(B)/obj/mailkeyd/main.o $(NEXT_OBJS) $(A_mail) \
    $(A_handlers) $(A_pgp)
	@mkdir -p $(@D)
	$(LINK) $^ $(ALL_LIBS)

$(B)/unit/%: $(B)/obj/tests/unit/%.o $(ALL_A)
	@mkdir -p $(@D)
	$(LINK) $^ -lcmocka $(ALL_LIBS)
$(B)/tools/%: $(B)/obj/tests/tools/%.o $(ALL_A)
	@mkdir -p $(@D)
	$(LINK) $^ $(ALL_LIBS)

$(B)/bench/%: $(B)/obj/tests/bench/%.o $(ALL_A)
	@mkdir -p $(@D)
	$(LINK) $^ $(ALL_LIBS)
# Preloaded, so without what the sanitizers would want to be first.
$(B)/bench/syncs.so: tests/bench/syncs.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(say) LINK $@; $(CC) -std=c11 -g -O2 -fPIC -shared $(WARN) \
	    -D_GNU_SOURCE -o $@ $< -ldl

deps:
	@contrib/deps build
deps-test:
	@contrib/deps test
deps-bench:
	@contrib/deps bench
deps-lint:
	@contrib/deps lint
deps-fuzz:
	@contrib/deps fuzz

demo: deps
	@+$(MAKE) --no-print-directory -s all
	@B=$(B) contrib/demo

run: deps
	@+$(MAKE) --no-print-directory -s all
	@B=$(B) contrib/demo --stay

check: deps-test
	@+$(MAKE) --no-print-directory -s check-built
check-built: all $(UNITS) $(TOOLS) $(BENCHES) $(B)/faults/mailkeyd \
    $(B)/next/mailkeyd
	@B=$(B) SAN=$(SAN) tests/run $(T)

# Measures it beside other key servers: tests/bench/bench.py says how.  N=, the
# numbers of certificates, BENCH=, which rows, and the rest are its environment.
bench: deps-bench
	@+$(MAKE) --no-print-directory -s bench-built
bench-built: all $(BENCHES)
	@B=$(B) SAN=$(SAN) N='$(N)' BENCH='$(BENCH)' tests/bench/bench.py
bench-check:
	@tests/bench/compare.py '$(A)' '$(B)'

lint: deps-lint
	@contrib/lint

format:
	clang-format -i $(wildcard */*.[ch] tests/*/*.[ch])

# Writes the answers of the golden mails anew: read the difference.
refs: all
	@B=$(B) tests/golden --write

# Each harness, or T=name, for FUZZ_TIME seconds, FUZZ_JOBS of them at once.
FUZZ_TIME = 60
FUZZ_JOBS = 1
FUZZ_NAMES = $(or $(T),$(FUZZERS:$(B)/fuzz/%=%))
FUZZ_OPT = -O1 -fno-sanitize-recover=all -fsanitize=address,undefined
$(B)/fuzz/%: $(B)/obj/tests/fuzz/%.o $(ALL_A)
	@mkdir -p $(@D)
	$(LINK) $^ $(ALL_LIBS)
fuzzers: $(FUZZERS)
fuzz: deps-fuzz
	@+$(MAKE) --no-print-directory fuzzers B=build-fuzz CC=clang WARN= \
	    DEFS=-DSANITIZED OPT='$(FUZZ_OPT),fuzzer-no-link' \
	    LDOPT='$(FUZZ_OPT),fuzzer'
	@printf '%s\n' $(FUZZ_NAMES) | \
	    xargs -P $(FUZZ_JOBS) -n 1 tests/fuzz/run $(FUZZ_TIME)

install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SBINDIR) \
	    $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(MANDIR)/man5 \
	    $(DESTDIR)$(MANDIR)/man7 $(DESTDIR)$(MANDIR)/man8 \
	    $(DESTDIR)$(DOCDIR)/postfix $(DESTDIR)$(DOCDIR)/exim \
	    $(DESTDIR)$(DOCDIR)/opensmtpd $(DESTDIR)$(DOCDIR)/offline \
	    $(DESTDIR)$(DOCDIR)/systemd/mailkeyd.service.d
	install $(B)/mailkeyd $(DESTDIR)$(SBINDIR)
	install $(B)/mailkeyctl $(DESTDIR)$(BINDIR)
	install $(B)/mailkeyd-parser $(B)/mailkeyd-verifier \
	    $(B)/mailkeyd-checker $(B)/mailkeyd-sender \
	    $(B)/mailkeyd-fetcher $(DESTDIR)$(LIBEXECDIR)
	install -m 644 mailkeyd/mailkeyd.conf.5 $(DESTDIR)$(MANDIR)/man5
	install -m 644 mailkeyd/mailkeyd-operation.7 \
	    mailkeyd/mailkeyd-protocol.7 $(DESTDIR)$(MANDIR)/man7
	install -m 644 mailkeyd/mailkeyd.8 mailkeyd/mailkeyctl.8 \
	    $(DESTDIR)$(MANDIR)/man8
	install -m 644 README.md INSTALL ARCHITECTURE.md LICENSE \
	    contrib/mailkeyd.conf contrib/blocklist $(DESTDIR)$(DOCDIR)
	install -m 644 contrib/postfix/* $(DESTDIR)$(DOCDIR)/postfix
	install -m 644 contrib/exim/* $(DESTDIR)$(DOCDIR)/exim
	install -m 644 contrib/opensmtpd/* $(DESTDIR)$(DOCDIR)/opensmtpd
	install -m 644 contrib/offline/* $(DESTDIR)$(DOCDIR)/offline
	install -m 644 contrib/systemd/mailkeyd.service \
	    contrib/systemd/mailkeyd.socket $(DESTDIR)$(DOCDIR)/systemd
	install -m 644 contrib/systemd/mailkeyd.service.d/* \
	    $(DESTDIR)$(DOCDIR)/systemd/mailkeyd.service.d

clean:
	rm -rf build build-san build-fuzz

.PHONY: all deps deps-test deps-bench deps-lint deps-fuzz demo run check check-built \
    bench bench-built bench-check lint \
    format refs fuzz fuzzers install clean force
.SECONDARY:

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
