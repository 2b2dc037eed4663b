# Three images: `docker build --target worker .` runs everything but the watch and the desk, `--target watch .` runs the
# watch alone, `--target desk .` the desk. Only the watch's has Faust, only the desk's a web framework. For production
# pin the base by the digest of the day: python:3.13-slim@sha256:…

FROM python:3.13-slim AS build
WORKDIR /build
# Packages are taken by their hashes, and nothing but our own wheel is built.
ENV PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all:
COPY requirements requirements
RUN pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY contracts contracts
COPY desk desk
COPY handlers handlers
COPY outbox outbox
COPY worker worker
RUN python -m hatchling build -t wheel -d /wheel && python -m venv --without-pip /venv

FROM build AS build-worker
RUN pip --python /venv/bin/python install --require-hashes -r requirements/worker.txt \
    && pip --python /venv/bin/python install --no-deps /wheel/*.whl

FROM build AS build-watch
RUN pip --python /venv/bin/python install --require-hashes -r requirements/watch.txt \
    && pip --python /venv/bin/python install --no-deps /wheel/*.whl

FROM build AS build-desk
RUN pip --python /venv/bin/python install --require-hashes -r requirements/desk.txt \
    && pip --python /venv/bin/python install --no-deps /wheel/*.whl

FROM python:3.13-slim AS base
# Nothing in the image installs packages: neither pip nor the copy of it that venv brings along.
RUN python -m pip uninstall --yes --root-user-action=ignore pip \
    && rm -rf /usr/local/lib/python3.13/ensurepip \
    && useradd --system --uid 10001 --no-create-home bridge
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /
ENTRYPOINT ["budget-bridge"]

FROM base AS watch
COPY --from=build-watch /venv /venv
CMD ["watch"]

FROM base AS desk
COPY --from=build-desk /venv /venv
CMD ["desk"]

FROM base AS worker
COPY --from=build-worker /venv /venv
CMD ["run"]
