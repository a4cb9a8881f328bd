# One image for all services; what runs is the command (docker-compose.yml).

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY pulso pulso
COPY ingest ingest
COPY kpi_engine kpi_engine
COPY dashboard dashboard
COPY sensors_sim sensors_sim
RUN pip wheel --no-cache-dir --constraint constraints.txt --wheel-dir /wheels .

FROM python:3.13-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels pulso \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin pulso \
    && install --directory --owner=pulso /truth
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /tmp
CMD ["pulso", "--help"]
