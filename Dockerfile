# goald in a container. Build it with `docker build -t goald .`, and try it with
#
#   docker run --rm -it --init --shm-size=256m -e GOALD_API_PORT=8080 -p 127.0.0.1:8080:8080 \
#     goald serve --embedded --demo
#
# To use your own Redis and Postgres, see deploy/compose.yaml. Both build stages use the same Debian
# release, so that the virtual environment of the first finds its Python in the second.

FROM rust:1-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# Install the packages before copying the source, because they change less often.
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
# Not root, because the Postgres of --embedded refuses to run as root.
USER goald
WORKDIR /var/lib/goald
VOLUME /var/lib/goald
EXPOSE 8080 9464
# tini reaps the children of killed actors. goald ends within 25 s of SIGTERM.
ENTRYPOINT ["tini", "--", "goald"]
CMD ["serve"]
