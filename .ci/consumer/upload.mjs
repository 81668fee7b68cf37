import Fastify from 'fastify'
import b2Uploads from 'fastify-b2-uploads'

const app = Fastify()
await app.register(b2Uploads, { local: { dir: process.argv[2] } })
const response = await fetch(`${await app.listen({ port: 0 })}/uploads/song.mp3`, { method: 'PUT', body: 'la la la' })
console.log(response.status === 201 ? 'stored and removed' : await response.text())
await app.uploads.remove((await response.json()).track.key.split('/').at(-1))
await app.close()
