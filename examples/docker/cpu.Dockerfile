# The server on CPUs. Built from the top of a checkout:
#   docker build -f examples/docker/cpu.Dockerfile -t sgn-rt:cpu .
FROM python:3.11-slim-bookworm AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY sgn_rt ./sgn_rt
COPY export ./export
COPY benchmarks ./benchmarks
RUN python -m venv /opt/sgn-rt \
 && /opt/sgn-rt/bin/pip install --no-cache-dir --disable-pip-version-check ".[cpu,media,serve]"

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin sgn \
 && install --directory --owner sgn --group sgn /spool
COPY --from=build /opt/sgn-rt /opt/sgn-rt
ENV PATH=/opt/sgn-rt/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
VOLUME /spool
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["sgn-rt"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--spool", "/spool", "--token-file", "/run/secrets/sgn_rt_token"]
