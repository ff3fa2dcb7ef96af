# The front door; everything else is CMake's (CMakePresets.json) and tests/run's.
ONLY ?=

.PHONY: all run test check asan tsan fuzz bench fmt help
all:
	@cmake --preset release >/dev/null && cmake --build --preset release
run:
	@deploy/quickstart
test: ## make test ONLY=wal
	@tests/run $(if $(ONLY),-R $(ONLY))
check:
	@.ci/run
asan tsan:
	@cmake --preset $@ >/dev/null && cmake --build --preset $@ && ctest --preset $@ -L unit
fuzz:
	@cmake --preset fuzz >/dev/null && cmake --build --preset fuzz
bench: all
	@bench/run
fmt:
	@git ls-files '*.c' '*.h' '*.cc' | xargs clang-format -i
help:
	@echo "make | run | test [ONLY=name] | check | asan | tsan | fuzz | bench | fmt"
