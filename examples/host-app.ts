// An app of your own: its users, its records of their songs, and the plugin for the files.
//
//   npx tsx examples/host-app.ts        configured by the variables of README; without B2 all files stay local
//   curl -H 'authorization: Bearer alice' -F file=@song.mp3 http://127.0.0.1:3000/media/uploads
//   curl -H 'authorization: Bearer alice' http://127.0.0.1:3000/songs
import Fastify from 'fastify'
import b2Uploads, { optionsFromEnv } from 'fastify-b2-uploads'
import type { Receipt } from 'fastify-b2-uploads'

interface Song {
  readonly title: string
  readonly storage: Receipt['storage']
  /** Path of the file, for <audio src>. */
  readonly url: string
}

const USERS = new Set(['Bearer alice', 'Bearer bob'])
/** The app's own records; a table of its database, say. */
const songs = new Map<string, Song>()

const app = Fastify({ logger: true })

// The app's own authentication. It is registered first, so it guards the plugin's routes, too.
app.addHook('onRequest', async (request, reply) => {
  if (!USERS.has(request.headers.authorization ?? '')) return await reply.code(401).send({ message: 'Log in first.' })
})

await app.register(b2Uploads, {
  ...optionsFromEnv(),
  prefix: '/media',
  onStored: record, // before the upload is answered, wherever the file is
  onPromoted: record, // when a file that had fallen back is in B2; it may be told twice
})

function record ({ storage, track }: Receipt): void {
  songs.set(track.id, {
    title: track.audio?.title ?? track.filename,
    storage,
    url: `/media/uploads/${track.key.split('/').at(-1)}/content`,
  })
}

app.get('/songs', async () => [...songs.values()])

await app.listen({ port: Number(process.env['PORT'] ?? 3000) })

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { app.close().catch(error => { app.log.error(error) }) })
