# onlooker in a container: one static program, no shell, no root.
#
#   docker build -t onlooker .
#   docker run --rm -p 9876:9876 -v "$PWD:/data:ro" \
#     -e ONLOOKER_ADVERTISE=192.168.1.20 onlooker state.json
#
# ONLOOKER_ADVERTISE is the address that phones can reach: the host's, on the LAN. A container
# sees only its own network, so without it the links and the code lead nowhere. Give HOST:PORT
# when -p publishes another port. (On Linux, --network host needs neither.)
#
# Mount the directory, not the file: editors replace a file when they save, and a mounted file
# stays the old one. The host token: docker exec CONTAINER /onlooker token. For a token of your
# own set ONLOOKER_HOST_TOKEN; none is of no use here, nobody is on this machine but the container.
# ONLOOKER_STORE needs a mounted directory that user 65532 may write. Every other key is a variable
# as well: docker run --rm onlooker config --default.

FROM rust:1.95-alpine AS build
# A C compiler, for the cryptography behind --tls-cert. Alpine's target links statically.
RUN apk add --no-cache build-base
WORKDIR /onlooker
COPY . .
RUN cargo build --release --locked --bin onlooker

# No shell and no libraries; /tmp for the token's file, and a user of its own.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /onlooker/target/release/onlooker /onlooker
WORKDIR /data
EXPOSE 9876
# Asks where the variables and ONLOOKER_CONFIG (or /data/onlooker.toml) say that the daemon is; a
# flag after the image's name is not seen here, so give the port as ONLOOKER_PORT.
HEALTHCHECK --interval=30s --timeout=6s --start-period=2s CMD ["/onlooker", "status", "--health"]
ENTRYPOINT ["/onlooker"]
