# Model servers and recommender (serving/). Build in the repository root:
#   docker build -f images/serving.Dockerfile -t raconteur/serving:0.1.0 .
# A mirror or the CPU builds of torch: --build-arg PIP_EXTRA_INDEX_URL=<address>.
FROM python:3.11-slim

ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OMP_WAIT_POLICY=passive
RUN groupadd --gid 10001 raconteur && useradd --uid 10001 --gid raconteur --create-home raconteur

WORKDIR /app
# The third-party packages first: a change of our own code then rebuilds the last layers only.
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN mkdir -p src/raconteur && touch src/raconteur/__init__.py \
    && pip install --constraint constraints.txt --editable .
COPY src ./src
COPY feature_repo ./feature_repo
COPY serving ./serving
ENV PYTHONPATH=/app

USER 10001:10001
EXPOSE 8080 8090 8800
CMD ["python", "-m", "serving.predictor", "--help"]
