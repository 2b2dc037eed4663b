# Two images: `docker build --target worker .` runs everything but the watch, `--target watch .` runs the watch alone.
# Only the watch's has Faust. For production pin the base by the digest of the day: python:3.13-slim@sha256:…

FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv --without-pip /venv
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY contracts contracts
COPY desk desk
COPY handlers handlers
COPY outbox outbox
COPY worker worker

FROM build AS build-worker
RUN pip --python /venv/bin/python install --no-cache-dir -c constraints.txt '.[traces]'

FROM build AS build-watch
RUN pip --python /venv/bin/python install --no-cache-dir -c constraints.txt '.[watch]'

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

FROM base AS worker
COPY --from=build-worker /venv /venv
CMD ["run"]
