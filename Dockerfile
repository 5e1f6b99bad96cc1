# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS build
WORKDIR /src

# The dependencies alone, against empty sources: this layer is rebuilt only when a manifest or the lock file changes.
COPY Cargo.toml Cargo.lock ./
COPY crates/domain/Cargo.toml crates/domain/
COPY crates/store/Cargo.toml crates/store/
COPY crates/server/Cargo.toml crates/server/
COPY xtask/Cargo.toml xtask/
RUN mkdir -p crates/domain/src crates/store/src crates/server/src xtask/src \
    && touch crates/domain/src/lib.rs crates/store/src/lib.rs crates/server/src/lib.rs xtask/src/lib.rs \
    && echo 'fn main() {}' > crates/server/src/main.rs \
    && cargo build --release --locked -p directpay-server --bin directpay

# Copied files keep their age; cargo must see that they are newer than the empty ones.
COPY migrations migrations
COPY crates crates
RUN find crates migrations -type f -exec touch {} + \
    && cargo build --release --locked -p directpay-server --bin directpay

FROM debian:bookworm-slim

# Certificate authorities are for PostgreSQL over TLS; any current set of them will do.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /data directpay \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data

COPY --from=build /src/target/release/directpay /usr/local/bin/directpay

USER 10001:10001

# The default database is a SQLite file in the working directory; its secrets are made beside it.
WORKDIR /data
VOLUME /data

ENV DIRECTPAY_LISTEN=0.0.0.0:8080
EXPOSE 8080

# Asks /ready of the server in this container. Workers have no address to ask: turn it off for them.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["directpay", "health"]

ENTRYPOINT ["directpay"]
CMD ["serve"]
