# The server on NVIDIA GPUs by TensorRT, with its plugins compiled. Built from the top of a checkout:
#   docker build -f examples/docker/nvidia.Dockerfile -t sgn-rt:nvidia .
# The bundle with its engine is mounted: engines are built for the GPU at hand (docs/tensorrt.md).
FROM nvidia/cuda:13.0.1-devel-ubuntu24.04 AS build
ARG ARCHITECTURES=80;86;89;90;100;120
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      cmake g++ python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY sgn_rt ./sgn_rt
COPY export ./export
COPY benchmarks ./benchmarks
RUN python3 -m venv /opt/sgn-rt \
 && /opt/sgn-rt/bin/pip install --no-cache-dir --disable-pip-version-check \
      ".[cpu,media,serve,tensorrt]" \
 && /opt/sgn-rt/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps \
      --target /headers kernel-lens
ENV SGN_RT_TENSORRT_INCLUDE_DIR=/headers/kernel_lens/include/tensorrt
RUN library="$(/opt/sgn-rt/bin/sgn-rt plugins build --architectures "$ARCHITECTURES")" \
 && install --mode 644 "$library" /opt/sgn-rt/lib/libsgn_rt_plugins.so

FROM nvidia/cuda:13.0.1-base-ubuntu24.04
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin sgn \
 && install --directory --owner sgn --group sgn --mode 700 /spool /cache
COPY --from=build /opt/sgn-rt /opt/sgn-rt
ENV PATH=/opt/sgn-rt/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SGN_RT_CACHE_DIR=/cache SGN_RT_PLUGIN_LIBRARY=/opt/sgn-rt/lib/libsgn_rt_plugins.so
USER 10001:10001
VOLUME ["/spool", "/cache"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 \
  CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["sgn-rt"]
CMD ["serve", "/bundle", "--host", "0.0.0.0", "--port", "8000", "--spool", "/spool", "--token-file", "/run/secrets/sgn_rt_token"]
