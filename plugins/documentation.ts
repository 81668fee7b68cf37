import { createRequire } from 'node:module'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import fp from 'fastify-plugin'

/** Where the documentation is served. */
export const DOCUMENTATION_PATH = '/documentation'

// By its own name, since the sources and what is built from them lie at different depths.
const { version } = createRequire(import.meta.url)('fastify-b2-uploads/package.json') as { version: string }

const DESCRIPTION = `Stores files in Backblaze B2, and in local storage if B2 fails and until it recovers. The answer says truthfully
which storage was used: \`storage\` is \`b2\`, \`local\` or, for a large file that B2 fails in the middle, \`split\`. A file that fell back moves to B2 by itself; its name
stays the same.

Every error has the same shape: a stable \`error_code\`, sentences for people, and the \`correlation_id\` that the service's log has, too.`

/**
 * Collects the routes that are registered after it in an OpenAPI document, and serves that, as JSON, as YAML and to be
 * tried out. Decorates `app.swagger()`.
 */
export default fp(async app => {
  await app.register(swagger, {
    openapi: {
      openapi: '3.0.3', // what most generators of clients know best
      info: {
        title: 'fastify-b2-uploads',
        version,
        description: DESCRIPTION,
        license: { name: 'MIT', url: 'https://spdx.org/licenses/MIT.html' },
      },
      servers: [{ url: '/', description: 'The service that serves this document' }],
      tags: [
        { name: 'uploads', description: 'Store, read and remove files.' },
        { name: 'resumable', description: 'Upload files over several requests: tus 1.0.0, for unreliable connections.' },
        { name: 'operations', description: 'For those who run the service.' },
      ],
      components: {
        securitySchemes: {
          apiKey: { type: 'http', scheme: 'bearer', description: 'One of the keys in API_KEYS, if the service has some. It needs the scope of what is asked: upload, read, delete or metrics.' },
        },
      },
      security: [{ apiKey: [] }, {}],
    },
    refResolver: {
      // In an app of its own the service needs no long names.
      buildLocalReference: (json, _baseUri, _fragment, index) => typeof json.$id === 'string' ? json.$id.replace(/^B2Uploads/, '') : `def-${index}`,
    },
  })
  await app.register(swaggerUi, {
    routePrefix: DOCUMENTATION_PATH,
    uiConfig: { tryItOutEnabled: true, displayRequestDuration: true },
    staticCSP: {
      'default-src': ["'self'"],
      'base-uri': ["'self'"],
      'form-action': ["'self'"],
      'frame-ancestors': ["'self'"],
      'img-src': ["'self'", 'data:'],
      'object-src': ["'none'"],
      'style-src': ["'self'", "'unsafe-inline'"], // the page sets styles by script
    },
  })
}, { name: 'documentation', fastify: '5.x' })
