# The gateway in a container:
#
#   docker build -t cogitate .
#   docker run -p 8080:8080 -v "$PWD/cogitate.toml:/etc/cogitate/cogitate.toml:ro" -v cogitate:/var/lib/cogitate cogitate
#
# The configuration must name accounts, such as "sqlite:////var/lib/cogitate/accounts.db", because the address of a
# container can be reached by others; `docker exec … cogitate keys add NAME` makes a key.
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/cogitate && /opt/cogitate/bin/pip install --no-cache-dir ".[gateway,math]"

FROM python:3.12-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/cogitate cogitate
COPY --from=build /opt/cogitate /opt/cogitate
ENV PATH=/opt/cogitate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    COGITATE_CONFIG=/etc/cogitate/cogitate.toml
USER cogitate
WORKDIR /var/lib/cogitate
VOLUME /var/lib/cogitate
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD \
    ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health', timeout=4)"]
ENTRYPOINT ["cogitate"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
