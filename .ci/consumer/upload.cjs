const app = require('fastify')()
const { startB2Emulator } = require('fastify-b2-uploads/emulator')

app.register(require('fastify-b2-uploads'), { local: { dir: process.argv[2] } })
app.listen({ port: 0 }, async (error, url) => {
  if (error) throw error
  const response = await fetch(`${url}/uploads/song.mp3`, { method: 'PUT', body: 'la la la' })
  console.log(response.status === 201 && typeof startB2Emulator === 'function' ? 'stored and removed' : await response.text())
  await app.uploads.remove((await response.json()).track.key.split('/').at(-1))
  await app.close()
})
