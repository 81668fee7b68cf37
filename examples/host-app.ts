// An app with its own users, its own records of their songs, and the plugin for the files. Each user can reach only their own files.
//
//   npx tsx examples/host-app.ts        configured by the variables of docs/configuration.md; without B2 all files stay local
//   curl -H 'authorization: Bearer alice' -F file=@song.mp3 http://127.0.0.1:3000/media/uploads
//   curl -H 'authorization: Bearer alice' http://127.0.0.1:3000/songs
import Fastify from 'fastify'
import type { FastifyReply, FastifyRequest } from 'fastify'
import b2Uploads, { optionsFromEnv } from 'fastify-b2-uploads'
import type { Receipt } from 'fastify-b2-uploads'

declare module 'fastify' {
  interface FastifyRequest {
    user: string | undefined
  }
}

interface Song {
  readonly owner: string
  readonly title: string
  readonly storage: Receipt['storage']
  /** Path of the file, for <audio src>. */
  readonly url: string
}

const USERS: Record<string, string | undefined> = { 'Bearer alice': 'alice', 'Bearer bob': 'bob' }
/** The app's own records, by the name of the file in the plugin's routes: in a real app, a table of its database. */
const songs = new Map<string, Song>()

const app = Fastify({ logger: true })

// The app's own authentication. It is registered first, so it also guards the plugin's routes.
app.decorateRequest('user', undefined)
app.addHook('onRequest', async (request, reply) => {
  request.user = USERS[request.headers.authorization ?? '']
  if (request.user === undefined) return await reply.code(401).send({ message: 'Log in first.' })
})

await app.register(b2Uploads, {
  ...optionsFromEnv(),
  prefix: '/media',
  preHandler: onlyOwn,
  onStored: (receipt, { request }) => record(receipt, request!.user!), // before the upload is answered, in either store
  onPromoted: receipt => record(receipt), // when a file that fell back is in B2; it may be called twice
})

function nameOf ({ key }: Receipt['track']): string {
  return key.split('/').at(-1)!
}

function record ({ storage, track }: Receipt, owner = songs.get(nameOf(track))?.owner): void {
  if (owner === undefined) return // it was deleted
  const name = nameOf(track)
  songs.set(name, { owner, title: track.audio?.title ?? track.filename, storage, url: `/media/uploads/${name}/content` })
}

/** The plugin knows no users: whoever may use a route may use it on every file. This restricts users to their own. */
async function onlyOwn (request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const { name } = request.params as { name?: string }
  if (name === undefined) return // an upload
  // Another user's file is answered like a missing one, so that no one can find out which it is.
  if (songs.get(name)?.owner !== request.user) return await reply.code(404).send({ message: 'There is no such song.' })
}

app.addHook('onResponse', async (request, { statusCode }) => {
  const { name } = request.params as { name?: string }
  if (request.method === 'DELETE' && statusCode === 204 && name !== undefined) songs.delete(name)
})

app.get('/songs', async ({ user }) => [...songs.values()].filter(({ owner }) => owner === user).map(({ title, storage, url }) => ({ title, storage, url })))

await app.listen({ port: Number(process.env['PORT'] ?? 3000) })

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { app.close().catch(error => { app.log.error(error) }) })
