# meddenoise on the CPU: not as root, nothing written but to /spool (or mounted folders) and /tmp, no network needed.
#
#     docker build -t meddenoise:cpu .
#     docker run --rm --network none --read-only --tmpfs /tmp --user "$(id -u):$(id -g)" \
#         -v "$PWD/study:/in:ro" -v "$PWD/clean:/out" meddenoise:cpu denoise /in -o /out
#
# PIP_INDEX_URL may name an index that has CPU builds of torch: the image is then some gigabytes smaller.
FROM python:3.12-slim AS build
ARG PIP_INDEX_URL
WORKDIR /source
COPY pyproject.toml README.md LICENSE weights_manifest.toml ./
COPY meddenoise ./meddenoise
RUN python -m venv /opt/meddenoise \
    && /opt/meddenoise/bin/pip install --no-cache-dir ".[node]"

FROM python:3.12-slim
COPY --from=build /opt/meddenoise /opt/meddenoise
# a volume mounted on /spool takes over its owner
RUN install -d -m 0700 -o 10001 -g 10001 /spool
ENV PATH=/opt/meddenoise/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1
USER 10001:10001
EXPOSE 11112
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8104/health', timeout=5)"]
ENTRYPOINT ["meddenoise"]
CMD ["serve", "/etc/meddenoise/node.toml"]
