# syntax=docker/dockerfile:1
# One image for the web service and the workers; the command says which part runs.
#
#   docker build -t nnloop .      torch for the CPU, and OpenVINO; each with the driver of PostgreSQL
#   docker build -t nnloop:gpu --build-arg TORCH_INDEX_URL= --build-arg EXTRAS=postgresql .
#                                 torch's ordinary release (CUDA)

FROM python:3.11-slim AS build
ARG EXTRAS=cpu,postgresql
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/nnloop
ENV PATH=/opt/nnloop/bin:$PATH
WORKDIR /src

# torch and torchvision first, both from the same index: a build of one does not import with the
# other build of the other.
COPY constraints.txt ./
RUN pip install --no-deps -c constraints.txt ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} \
    torch torchvision

# The dependencies are a layer of their own: a change of nnloop's source leaves it alone.
COPY pyproject.toml README.md LICENSE ./
RUN pip install -c constraints.txt ".${EXTRAS:+[$EXTRAS]}" && pip uninstall --yes nnloop
COPY domain domain
COPY converters converters
COPY training training
COPY active_learning active_learning
COPY backend backend
RUN pip install --no-deps . && pip check

FROM python:3.11-slim
LABEL org.opencontainers.image.title="nnloop" \
      org.opencontainers.image.description="nnU-Net inside Label Studio's labelling loop" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --create-home --uid 10001 nnloop && install -d -o nnloop -g nnloop -m 0700 /data
COPY --from=build /opt/nnloop /opt/nnloop
ENV PATH=/opt/nnloop/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    NNLOOP_DATA_DIR=/data \
    NNLOOP_HOST=0.0.0.0 \
    NNLOOP_PORT=9090
# By number, so that a host can tell it is not root.
USER 10001
WORKDIR /home/nnloop
VOLUME /data
EXPOSE 9090
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['NNLOOP_PORT'] + '/health', timeout=4)"]
ENTRYPOINT ["nnloop"]
CMD ["serve"]
