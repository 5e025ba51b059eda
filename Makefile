# Every verb is a script in tools/, or of the part that it is about. `make run` and `make test` set up what they need.
.PHONY: run test check build bench fuzz soak conformance docs wheel format clean

run:
	@tools/python tools/run.py
test:
	@tools/python tools/suite.py
check:
	@tools/python tools/check.py
build:
	@tools/python tools/build.py
bench:
	@tools/python bench/run.py
fuzz:
	@tools/python tools/fuzz.py
soak:
	@tools/python tools/soak.py
conformance:
	@tools/python tests/conformance/run.py
docs:
	@tools/python tools/docs.py
wheel:
	@tools/python tools/wheel.py
format:
	@tools/python tools/format.py
clean:
	@tools/python tools/clean.py
