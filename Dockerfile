# The service in a container. docs/deployment.md says how to run it.
#
#   docker build --tag fastify-b2-uploads .
#
# BuildKit (Docker 23 and newer) or Buildah builds it. There is no `# syntax` line, because nothing here needs a frontend that would
# have to be downloaded.

# By its full version. By its digest, or from a mirror: --build-arg NODE_IMAGE=…
ARG NODE_IMAGE=node:24.21.0-bookworm-slim

# What npm reads: packages are installed again only if one of these changes.
FROM ${NODE_IMAGE} AS manifest
WORKDIR /app
COPY package.json package-lock.json .npmrc ./

FROM manifest AS build
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json *.ts ./
COPY scripts/build.mjs scripts/
COPY cli cli/
COPY plugins plugins/
COPY routes routes/
COPY services services/
COPY emulator emulator/
# Declarations, source maps and the files for `require` are for users of the package. The emulator has its own image.
RUN npm run build \
  && find dist -type f ! -name '*.js' -delete \
  && mv dist/emulator emulated-b2

FROM manifest AS dependencies
# fastify is both a peer and a development dependency of the package. `--omit=dev` would leave it out; without development
# dependencies it is installed as a peer, in the version of the lock file.
RUN --mount=type=cache,target=/root/.npm npm pkg delete devDependencies \
  && npm ci --ignore-scripts

FROM ${NODE_IMAGE} AS runtime
# Nothing is installed in a running container, and what is missing needs no updates. 10001 is not a user of the host.
RUN rm -rf /opt/yarn* /usr/local/lib/node_modules /usr/local/bin/corepack /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/yarn /usr/local/bin/yarnpkg \
  && install --directory --owner=10001 --group=10001 --mode=0750 /var/lib/fastify-b2-uploads
WORKDIR /app
ENV NODE_ENV=production \
    HOST=0.0.0.0
USER 10001:10001
# Node.js handles signals as process 1, and neither program starts others: no init and no shell is needed.
STOPSIGNAL SIGTERM
ENTRYPOINT []

# Stands in for B2 in compose.yaml: docker build --target emulator .
FROM runtime AS emulator
ENV PORT=9000
COPY --chmod=0644 package.json LICENSE ./
COPY --from=build /app/emulated-b2 emulator/
EXPOSE 9000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
  CMD ["node", "--eval", "require('node:net').connect(Number(process.env.PORT || 9000), '127.0.0.1').on('connect', () => process.exit(0)).on('error', () => process.exit(1))"]
CMD ["node", "emulator/serve.js"]

FROM runtime AS service
# Files that fell back are in a directory of the volume, because the root of a volume has other things (lost+found).
ENV PORT=3000 \
    LOCAL_STORAGE_DIR=/var/lib/fastify-b2-uploads/storage
# Owned by root: the service can't change itself. --chmod, because the builder's umask may differ.
COPY --from=dependencies --chmod=0644 /app/package.json ./
COPY --from=dependencies /app/node_modules node_modules/
COPY --from=build /app/dist dist/
COPY --chmod=0644 LICENSE ./
VOLUME /var/lib/fastify-b2-uploads
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "--eval", "fetch('http://127.0.0.1:' + (process.env.PORT || 3000) + '/health').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/server.js"]
ARG NODE_IMAGE
LABEL org.opencontainers.image.title="fastify-b2-uploads" \
      org.opencontainers.image.description="Streams uploads straight to Backblaze B2 and falls back to local storage without losing a byte." \
      org.opencontainers.image.version="2.0.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${NODE_IMAGE}"
