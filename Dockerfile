FROM python:3.13-slim AS build
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY contracts contracts
COPY handlers handlers
COPY outbox outbox
COPY worker worker
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir -c constraints.txt '.[traces,watch]'

FROM python:3.13-slim
RUN useradd --system --uid 10001 bridge
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
USER bridge
ENTRYPOINT ["budget-bridge"]
CMD ["run"]
