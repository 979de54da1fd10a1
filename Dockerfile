# goald in a container. Built by `docker build -t goald .`; run, for a look around, by
#
#   docker run --rm -it --init --shm-size=256m -e GOALD_API_PORT=8080 -p 127.0.0.1:8080:8080 \
#     goald serve --embedded --demo
#
# or against your own Redis and Postgres, as in deploy/compose.yaml. Both stages are of one
# Debian release, so that the environment made in the first finds its Python in the second.

FROM rust:1-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# The packages first: they change less often than the source.
COPY requirements/daemon.txt requirements/daemon.txt
RUN python3 -m venv /opt/goald \
 && /opt/goald/bin/pip install --no-cache-dir --require-hashes --only-binary :all: \
      -r requirements/daemon.txt
COPY Cargo.toml Cargo.lock pyproject.toml ./
COPY native native
COPY src src
RUN PATH=/opt/goald/bin:$PATH /opt/goald/bin/pip install --no-cache-dir --no-deps \
      --no-build-isolation --no-index .

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home --home-dir /var/lib/goald goald
COPY --from=build /opt/goald /opt/goald
ENV PATH=/opt/goald/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GOALD_DATA_DIR=/var/lib/goald/data \
    GOALD_METRICS_HOST=0.0.0.0 \
    GOALD_API_HOST=0.0.0.0
# Not root: Postgres, which --embedded starts, refuses to be.
USER goald
WORKDIR /var/lib/goald
VOLUME /var/lib/goald
EXPOSE 8080 9464
# tini reaps what a killed actor leaves; goald itself ends within 25 s of SIGTERM.
ENTRYPOINT ["tini", "--", "goald"]
CMD ["serve"]
