import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type { FastifyPluginAsync } from 'fastify'
import { B2_MOODS } from './b2-moods.ts'
import type { B2Switch } from './b2-moods.ts'
import type { B2Mood } from './live-state.ts'
import { bundlePage } from './page-bundle.ts'
import type { Asset } from './page-bundle.ts'
import { LARGE_SAMPLE_NAME, SAMPLE_NAMES } from './sample-names.ts'
import { sampleTrack } from './sample-tracks.ts'
import type { Watch } from './watch.ts'

const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const OWN_FILES = [
  ['/demo', 'text/html; charset=utf-8', 'page.html'],
  ['/demo/icon.svg', 'image/svg+xml', 'icon.svg'],
] as const

/** The page, and what it needs beside the service's own API. Not part of the service: the demo alone has it. */
const demoRoutes: FastifyPluginAsync<{ b2Switch: B2Switch, watch: Watch }> = async (app, { b2Switch, watch }) => {
  const streams = new Set<Readable>()
  const options = { schema: { hide: true } } // from the OpenAPI document

  app.get('/', options, async (_request, reply) => reply.redirect('/demo'))

  for (const [path, type, name] of OWN_FILES) {
    const content = await readFile(new URL(`page/${name}`, import.meta.url))
    app.get(path, options, async (_request, reply) => reply.header('content-security-policy', CSP).type(type).send(content))
  }

  let bundle: Promise<Map<string, Asset>> | undefined
  app.get('/demo/assets/:name', options, async (request, reply) => {
    bundle ??= bundlePage('/demo/assets') // when the page is first opened
    const asset = (await bundle).get((request.params as { name: string }).name)
    if (asset === undefined) return reply.callNotFound()
    return reply.type(asset.type).send(Buffer.from(asset.content))
  })

  for (const name of [...SAMPLE_NAMES, LARGE_SAMPLE_NAME] as const) {
    app.get(`/demo/samples/${name}`, options, async (_request, reply) => reply.type('audio/wav').send(sampleTrack(name)))
  }

  app.post('/demo/b2/:mood', {
    schema: { hide: true, params: { type: 'object', properties: { mood: { enum: B2_MOODS } } } },
  }, async request => {
    const { mood } = request.params as { mood: B2Mood }
    await b2Switch.turn(mood)
    return { b2: mood }
  })

  app.get('/demo/events', options, async (_request, reply) => {
    const stream = new Readable({ read () {} })
    const leave = watch.listen(state => { stream.push(`data: ${state}\n\n`) })
    streams.add(stream)
    stream.once('close', () => {
      leave()
      streams.delete(stream)
    })
    await reply.header('cache-control', 'no-store').type('text/event-stream').send(stream)
  })

  app.addHook('preClose', async () => { for (const stream of streams) stream.push(null) })
}

export default demoRoutes
