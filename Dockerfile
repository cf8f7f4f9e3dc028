# The program `fer-batch`: command line, worker, web page and Flower in one image. Nothing is compiled, so one stage is enough;
# the layers are ordered by how often they change.
FROM python:3.11-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_CONSTRAINT=/src/constraints.txt \
    PYTHONUNBUFFERED=1 \
    FER_CACHE_DIR=/var/cache/fer-batch \
    FER_MODELS_DIR=/var/lib/fer-batch \
    FER_UPLOADS_DIR=/var/lib/fer-uploads \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

RUN useradd --create-home --uid 10001 fer \
    && install --directory --owner=fer --group=fer /var/cache/fer-batch /var/lib/fer-batch /var/lib/fer-uploads

# The libraries take gigabytes and change seldom, so they are installed before the program is copied.
WORKDIR /src
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
      extras = [line for extra in 'gpu postgres s3 train web'.split() for line in project['optional-dependencies'][extra]]; \
      print(*project['dependencies'], *(line for line in extras if 'fer-batch' not in line), sep='\n')" > requirements.txt \
    && pip install --requirement requirements.txt

COPY README.md LICENSE ./
COPY migrations migrations
COPY fer_model fer_model
COPY results results
COPY workers workers
COPY web web
COPY cli cli
RUN pip install --no-deps . && rm -rf /src/build

# By number, so that a host without this name knows who it is.
USER 10001
WORKDIR /home/fer

# Pings the worker. The name is that of CMD; a shell must expand that of the host.
# hadolint ignore=DL3025
HEALTHCHECK --interval=60s --timeout=30s --start-period=2m --retries=3 \
    CMD celery --app workers.queue.app inspect ping --destination "worker@$HOSTNAME" --timeout 10

ENTRYPOINT ["fer-batch"]
CMD ["worker", "--name", "worker"]
