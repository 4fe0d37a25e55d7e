# Two commands do all the set-up: `make demo` separates the example mixture, `make test` runs the tests.

PYTHON ?= python3
# Any newer PyTorch does, too; this one is what the tests are run with.
TORCH ?= torch==2.13.0
DEMO := .venv/demo
TEST := .venv/test
PAGES := .venv/pages
WHEELS := .venv/wheels
# Wheels that are read as files and never imported: the types of full TensorRT; and its headers, where there is a CUDA
# compiler and the tests build the plugins. Both require the whole of TensorRT, so they lie apart: among the installed
# packages pip would complain of that with every other package.
TOOLS := $(TEST)/tools
TOOL_WHEELS := tensorrt-stubs $(if $(shell command -v nvcc),kernel-lens)
# The real tritonserver, and what the models of its Python backend run on: NumPy 1, as it reads no other. About 150 MB to
# download, 520 MB on disk. Where it cannot be had, as the wheel is of Linux on x86 alone, its tests are skipped.
TRITON := $(TEST)/triton
TRITON_WHEEL := nvidia-pytriton==0.7.0
# What the examples without Python are tested with: headers of ONNX Runtime's C++ interface, and its WebAssembly. Where one
# cannot be had, its tests are skipped.
ORT_HEADERS := $(TEST)/ort-headers
WEB := $(TEST)/web
ORT_WEB := onnxruntime-web@1.30.0
MODEL := sgn_rt/data/instruments
# What `make bench` writes beside docs/benchmarks.md.
BENCH := build/bench
EXAMPLE := sgn_rt/data/music/003.mix.flac

# What `make test-kernels` runs under each choice of kernels; all tests of numbers if empty.
KERNEL_TESTS ?=

.PHONY: demo test test-kernels lint bench gpu bundle docs wheels clean

# setuptools would put files that are long gone from build/lib into the wheel.
define install
	rm -rf build/lib build/bdist.*
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check ".[$(2)]"
endef

demo:
	test -x $(DEMO)/bin/python || $(PYTHON) -m venv $(DEMO)
	$(call install,$(DEMO),cpu)
	$(DEMO)/bin/sgn-rt separate $(EXAMPLE) --output demo --residual --json demo/report.json

$(TEST)/.torch:
	test -x $(TEST)/bin/python || $(PYTHON) -m venv $(TEST)
	$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	touch $@

$(TOOLS): $(TEST)/.torch
	$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target $@ $(TOOL_WHEELS)

$(TRITON)/.server: $(TEST)/.torch
	$(TEST)/bin/python -m venv $(TRITON)
	$(TRITON)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(TRITON_WHEEL) "numpy==1.26.4" \
		&& touch $@ || echo "no tritonserver: its tests will be skipped"

$(ORT_HEADERS)/.unpacked: $(TEST)/.torch
	bash tests/examples/onnxruntime_headers.sh $(ORT_HEADERS) && touch $@ \
		|| echo "no headers of ONNX Runtime: tests of the examples in C++ will be skipped"

$(WEB)/.$(ORT_WEB): $(TEST)/.torch
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(WEB) $(ORT_WEB) && touch $@ \
		|| echo "no onnxruntime-web: tests of the page that separates in the browser will be skipped"

test: $(TOOLS) $(TRITON)/.server $(ORT_HEADERS)/.unpacked $(WEB)/.$(ORT_WEB)
	$(call install,$(TEST),test)
	test ! -e $(TRITON)/.server || $(TRITON)/bin/python -m pip install --quiet --disable-pip-version-check ".[cpu]"
	$(TEST)/bin/pytest -n auto --maxprocesses 4 --dist loadscope $(PYTEST_ARGS)

# The tests of numbers as other processors run them: fourteen times all of these, so it takes long.
test-kernels: $(TOOLS)
	$(call install,$(TEST),test)
	$(TEST)/bin/python tests/kernels.py $(KERNEL_TESTS)

lint: $(TEST)/.torch
	$(call install,$(TEST),dev)
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/ruff check .
	# Of the package as it is installed: two of its folders lie beside it in the checkout.
	cd $(TEST) && bin/mypy --config-file $(CURDIR)/pyproject.toml

# On a machine that does nothing else. The page of the docs takes the figures also where a row has failed, as it says so.
bench: $(TEST)/.torch
	$(call install,$(TEST),test)
	status=0; $(TEST)/bin/sgn-rt bench --json $(BENCH).json --html $(BENCH).html $(BENCH_ARGS) || status=$$?; \
		test $$status -le 1 && $(TEST)/bin/python -P -m sgn_rt.benchmarks.report.docs $(BENCH).json docs/benchmarks.md \
		&& exit $$status

# On a machine with a GPU: its report, and the tests that need one. Installs nothing and reaches no index: PYTHON is the
# one that has the packages. GPU_PARTS are parts or single checks, as `sgn-rt doctor --gpu-part` names them.
gpu:
	$(PYTHON) tests/gpu.py $(or $(GPU_REPORT),build/gpu-report.txt) $(GPU_PARTS)

# Exports the model that ships anew; after a change of the exporter or of the probes.
bundle: $(TEST)/.torch
	$(call install,$(TEST),test)
	$(TEST)/bin/sgn-rt export $(MODEL)/checkpoint.safetensors --output build/bundle --overwrite \
		--kind core --precision fp32 --shared-weights --name sgn-instruments --licence Apache-2.0
	cp build/bundle/* $(MODEL)/

# The site, into build/site: a folder for any web server, and for no server at all.
docs:
	test -x $(PAGES)/bin/python || $(PYTHON) -m venv $(PAGES)
	$(call install,$(PAGES),docs)
	NO_MKDOCS_2_WARNING=1 $(PAGES)/bin/python -m mkdocs build --strict --config-file docs/site/mkdocs.yml

# sdist and wheel into dist/, looked through, and installed as a user would by every Python of 3.11 to 3.14 that is here.
wheels:
	test -x $(WHEELS)/bin/python || $(PYTHON) -m venv $(WHEELS)
	$(WHEELS)/bin/python -m pip install --quiet --disable-pip-version-check "build>=1.2" "twine>=6.1"
	rm -rf dist
	$(WHEELS)/bin/python tests/packaging/wheels.py dist

clean:
	rm -rf .venv build demo *.egg-info
