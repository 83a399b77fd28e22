# Postern.  make, make test, make install DESTDIR=...; see HACKING.md.
#
# Every .c file is found by its folder: lib/X/*.c makes libX.a, D/*.c but main.c makes the
# library of daemon or tool D, D/main.c its program.  t/unit/X/*.c makes one test program that
# links library X and what X is built on.
#
#	V=rel	(default) the hardened release build	V=asan	ASan + UBSan, for unit tests and fuzzing
#	V=fuzz	with clang's libFuzzer, see t/fuzz/run
#	BUILD=	where the objects go

-include config.mk

V ?= rel
BUILD ?= build
B := $(BUILD)/$(V)

DAEMONS := master smtpd pop3d filterd cryptod policyd queued deliverd anvild dnsd keyd logd
TOOLS := gwctl keyctl
LIBS := base ipc model mail conf store queue proc net keyprov openpgp policy proxy

# What each library is built on, transitively closed by hand: the order is the link order.
DEPS_base := base
DEPS_ipc := ipc model base
DEPS_model := model base
DEPS_mail := mail base
DEPS_conf := conf base
DEPS_store := store base
DEPS_queue := queue ipc model conf base
DEPS_proc := proc ipc model conf base
DEPS_net := net base
# Its tests shake hands over lib/net; itself it includes base only.
DEPS_keyprov := keyprov net base
DEPS_openpgp := openpgp model mail base
DEPS_policy := policy model mail base
DEPS_proxy := proxy proc net keyprov ipc model conf mail base
DAEMON_LIBS := proxy proc net keyprov openpgp policy queue store conf mail ipc model base

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wvla -Wformat=2 -Wundef -Werror
CPPFLAGS_ALL := -D_GNU_SOURCE -Ilib -I. -DPREFIX='"$(PREFIX)"' -DSYSCONFDIR='"$(SYSCONFDIR)"' \
	-DLOCALSTATEDIR='"$(LOCALSTATEDIR)"' -DRUNDIR='"$(RUNDIR)"' $(BSD_CFLAGS) $(GPGME_CFLAGS) $(CPPFLAGS)
CFLAGS_rel := $(OPTFLAGS) -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
LDFLAGS_rel := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
CFLAGS_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all -DPOSTERN_NO_SANDBOX
LDFLAGS_asan := -fsanitize=address,undefined
CFLAGS_fuzz := $(CFLAGS_asan) -fsanitize=fuzzer-no-link
LDFLAGS_fuzz := -fsanitize=fuzzer
CFLAGS_ALL := -std=gnu11 $(WARN) $(CFLAGS_$(V)) $(CFLAGS)
SYSLIBS := $(OPENSSL_LIBS) $(GCRYPT_LIBS) $(EVENT_LIBS) $(UNBOUND_LIBS) $(CONFUSE_LIBS) \
	$(SECCOMP_LIBS) $(JANSSON_LIBS) $(LMDB_LIBS) $(ZLIB_LIBS) $(BZIP2_LIBS) $(BSD_LIBS)
# Of one program only.
SYSLIBS_keyctl = $(GPGME_LIBS)
# Only tests and benchmarks need these: asked for when they are linked, not by configure.
CHECK_LIBS = $(shell pkg-config --libs check)
BENCH_LIBS = $(shell pkg-config --libs gpgme librnp)

all: $(addprefix $(B)/bin/,$(DAEMONS) $(TOOLS))

config.mk:
	@echo "make: run ./configure first" >&2; exit 1

$(B)/obj/%.o: %.c config.mk
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

define archive # name, folder, sources
$(B)/lib$(1).a: $(patsubst %.c,$(B)/obj/%.o,$(3))
	@rm -f $$@
	@mkdir -p $$(@D)
	@$$(AR) rcsD $$@ $$^
endef
$(foreach l,$(LIBS),$(eval $(call archive,$(l),lib/$(l),$(wildcard lib/$(l)/*.c))))
$(foreach d,$(DAEMONS) $(TOOLS),$(eval $(call archive,_$(d),$(d),$(filter-out %/main.c,$(wildcard $(d)/*.c)))))

define program
$(B)/bin/$(1): $(B)/obj/$(1)/main.o $(B)/lib_$(1).a $(patsubst %,$(B)/lib%.a,$(DAEMON_LIBS))
	@mkdir -p $$(@D)
	@echo "  LD $$@"
	@$$(CC) $$(CFLAGS_ALL) $$(LDFLAGS_$(V)) $$(LDFLAGS) -o $$@ $$^ $$(SYSLIBS_$(1)) $$(SYSLIBS)
endef
$(foreach d,$(DAEMONS) $(TOOLS),$(eval $(call program,$(d))))

# Unit tests: t/unit/<library>/ or t/unit/<daemon>/.
UNITS := $(patsubst t/unit/%/,%,$(sort $(dir $(wildcard t/unit/*/*.c))))
unit_libs = $(if $(DEPS_$(1)),$(patsubst %,$(B)/lib%.a,$(DEPS_$(1))),$(B)/lib_$(1).a $(patsubst %,$(B)/lib%.a,$(DAEMON_LIBS)))
define unit
$(B)/unit/$(1): $(patsubst %.c,$(B)/obj/%.o,$(wildcard t/unit/$(1)/*.c)) $(call unit_libs,$(1))
	@mkdir -p $$(@D)
	@echo "  LD $$@"
	@$$(CC) $$(CFLAGS_ALL) $$(LDFLAGS_$(V)) -o $$@ $$^ $$(CHECK_LIBS) $$(SYSLIBS_$(1)) $$(SYSLIBS)
endef
$(foreach u,$(UNITS),$(eval $(call unit,$(u))))
units: $(addprefix $(B)/unit/,$(UNITS))

# Fuzz targets: t/fuzz/<library>_<what>.c has LLVMFuzzerTestOneInput.  Here they are linked with
# t/fuzz/driver.c, which replays and mutates a corpus (smoke test); t/fuzz/run builds them with
# clang's libFuzzer.
FUZZ := $(patsubst t/fuzz/%.c,%,$(filter-out t/fuzz/driver.c,$(wildcard t/fuzz/*.c)))
FUZZ_MAIN := $(if $(filter fuzz,$(V)),,$(B)/obj/t/fuzz/driver.o)
fuzz_of = $(firstword $(subst _, ,$(1)))
define fuzz
$(B)/fuzz/$(1): $(B)/obj/t/fuzz/$(1).o $(FUZZ_MAIN) $(call unit_libs,$(call fuzz_of,$(1)))
	@mkdir -p $$(@D)
	@echo "  LD $$@"
	@$$(CC) $$(CFLAGS_ALL) $$(LDFLAGS_$(V)) -o $$@ $$^ $$(SYSLIBS_$(call fuzz_of,$(1))) $$(SYSLIBS)
endef
$(foreach f,$(FUZZ),$(eval $(call fuzz,$(f))))
fuzz: $(addprefix $(B)/fuzz/,$(FUZZ))

# Programs that only tests and benchmarks use: t/golden/*.c and t/bench/*.c, one each.
define helper
$(B)/$(1)/$(2): $(B)/obj/t/$(1)/$(2).o $(patsubst %,$(B)/lib%.a,$(DAEMON_LIBS))
	@mkdir -p $$(@D)
	@echo "  LD $$@"
	@$$(CC) $$(CFLAGS_ALL) $$(LDFLAGS_$(V)) -o $$@ $$^ $$(if $$(filter bench,$(1)),$$(BENCH_LIBS)) $$(SYSLIBS)
endef
GOLDEN := $(patsubst t/golden/%.c,%,$(wildcard t/golden/*.c))
BENCH := $(patsubst t/bench/%.c,%,$(wildcard t/bench/*.c))
$(foreach g,$(GOLDEN),$(eval $(call helper,golden,$(g))))
$(foreach g,$(BENCH),$(eval $(call helper,bench,$(g))))
golden: $(addprefix $(B)/golden/,$(GOLDEN))
bench: $(addprefix $(B)/bench/,$(BENCH))

test:
	./check

# What every file is compiled with: for t/lint and editors.
flags:
	@:$(info $(subst ',,$(CPPFLAGS_ALL)) $(WARN))

format:
	clang-format-14 -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf $(BUILD)

# Installation.  master is postern(8); the other daemons stand where libexec_dir points by default,
# their pages as postern-NAME(8), for Postfix and OpenBSD have smtpd(8) and more.  keyctl is installed
# as gwkeyctl, and the name that configure was told is a link to it, unless somebody else's program
# has that name.  Users and folders are made by systemd-sysusers and systemd-tmpfiles from what is
# installed for them.
D := $(DESTDIR)
LIBEXEC := $(PREFIX)/libexec/postern
MANDIR := $(PREFIX)/share/man
UNITDIR := $(PREFIX)/lib/systemd/system
HELPERS := $(filter-out master,$(DAEMONS))
SUBST := sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g' \
	-e 's|@LOCALSTATEDIR@|$(LOCALSTATEDIR)|g' -e 's|@RUNDIR@|$(RUNDIR)|g'
# What a second instance has of its own: the name of its configuration.
INSTANCE := sed -e 's|postern/postern.conf|postern/%i.conf|' -e 's|^Description=.*|& (%i)|'
PAGES := $(notdir $(wildcard man/*.[1-8]))
# The name that a page is installed under, and the references to pages that are renamed.
page_of = $(if $(filter keyctl,$(1)),gwkeyctl,$(if $(filter $(HELPERS),$(1)),postern-$(1),$(1)))
page_path = $(MANDIR)/man$(subst .,,$(suffix $(1)))/$(call page_of,$(basename $(1)))$(suffix $(1))
PAGE_REFS := sed $(foreach h,$(HELPERS),-e 's/Xr $(h) 8/Xr postern-$(h) 8/g')
KEYCTL_BIN := $(D)$(PREFIX)/bin/$(KEYCTL_NAME)
KEYCTL_PAGE := $(D)$(MANDIR)/man1/$(KEYCTL_NAME).1
# Loaded by the name of the program whose command line is typed.
COMPLETION := $(D)$(PREFIX)/share/bash-completion/completions

install: all
	install -d $(D)$(PREFIX)/sbin $(D)$(PREFIX)/bin $(D)$(LIBEXEC) $(D)$(SYSCONFDIR)/postern \
	    $(D)$(UNITDIR) $(D)$(PREFIX)/lib/sysusers.d $(D)$(PREFIX)/lib/tmpfiles.d \
	    $(addprefix $(D)$(MANDIR)/man,1 5 8) $(COMPLETION)
	install -m 755 $(B)/bin/master $(D)$(PREFIX)/sbin/postern
	install -m 755 $(addprefix $(B)/bin/,$(HELPERS)) $(D)$(LIBEXEC)
	install -m 755 $(B)/bin/gwctl $(D)$(PREFIX)/bin/gwctl
	install -m 755 $(B)/bin/keyctl $(D)$(PREFIX)/bin/gwkeyctl
	install -m 644 etc/bash-completion/gwctl $(COMPLETION)/gwctl
	ln -sf gwctl $(COMPLETION)/gwkeyctl
	install -m 644 etc/postern.conf $(D)$(SYSCONFDIR)/postern/postern.conf.example
	install -m 644 etc/sysusers.d/postern.conf $(D)$(PREFIX)/lib/sysusers.d/postern.conf
	$(SUBST) etc/tmpfiles.d/postern.conf >$(D)$(PREFIX)/lib/tmpfiles.d/postern.conf
	$(SUBST) etc/systemd/postern.service >$(D)$(UNITDIR)/postern.service
	$(SUBST) etc/systemd/postern.service | $(INSTANCE) >$(D)$(UNITDIR)/postern@.service
	@rm -f $(foreach p,$(PAGES),$(D)$(call page_path,$(p)))
	@$(foreach p,$(PAGES),$(PAGE_REFS) man/$(p) >$(D)$(call page_path,$(p)) &&) :
	chmod 644 $(D)$(PREFIX)/lib/tmpfiles.d/postern.conf $(D)$(UNITDIR)/postern.service \
	    $(D)$(UNITDIR)/postern@.service $(foreach p,$(PAGES),$(D)$(call page_path,$(p)))
	@if [ $(KEYCTL_NAME) = gwkeyctl ]; then :; \
	elif [ ! -e $(KEYCTL_BIN) ] || [ "$$(readlink $(KEYCTL_BIN))" = gwkeyctl ]; then \
		ln -sf gwkeyctl $(KEYCTL_BIN) && ln -sf gwkeyctl.1 $(KEYCTL_PAGE) && \
		ln -sf gwctl $(COMPLETION)/$(KEYCTL_NAME); \
	else \
		echo "$(KEYCTL_BIN) is another program and stays; ours is gwkeyctl"; \
	fi

# Configuration, keys and mail stay; so do folders that others use too.
uninstall:
	@if [ "$$(readlink $(KEYCTL_BIN))" = gwkeyctl ]; then \
		rm -f $(KEYCTL_BIN) $(KEYCTL_PAGE) $(COMPLETION)/$(KEYCTL_NAME); \
	fi
	rm -f $(D)$(PREFIX)/sbin/postern $(D)$(PREFIX)/bin/gwctl $(D)$(PREFIX)/bin/gwkeyctl \
	    $(COMPLETION)/gwctl $(COMPLETION)/gwkeyctl \
	    $(D)$(SYSCONFDIR)/postern/postern.conf.example \
	    $(D)$(PREFIX)/lib/sysusers.d/postern.conf $(D)$(PREFIX)/lib/tmpfiles.d/postern.conf \
	    $(D)$(UNITDIR)/postern.service $(D)$(UNITDIR)/postern@.service \
	    $(foreach p,$(PAGES),$(D)$(call page_path,$(p)))
	rm -rf $(D)$(LIBEXEC)
	@rmdir $(D)$(SYSCONFDIR)/postern 2>/dev/null || :

.PHONY: all units fuzz golden bench test flags format clean install uninstall
.SECONDARY:

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
