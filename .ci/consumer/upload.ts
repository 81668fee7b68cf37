import Fastify from 'fastify'
import b2Uploads, { ClientGoneError, optionsFromEnv, UploadError } from 'fastify-b2-uploads'
import type { B2UploadsOptions, Receipt } from 'fastify-b2-uploads'
import { startB2Emulator } from 'fastify-b2-uploads/emulator'

async function main (): Promise<void> {
  const b2 = await startB2Emulator()
  const stored: Receipt[] = []
  const options: B2UploadsOptions = {
    ...optionsFromEnv({ LOCAL_STORAGE_DIR: process.argv[2], B2_KEY_PREFIX: 'consumer/' }),
    prefix: '/media',
    b2: {
      endpoint: b2.endpoint,
      region: b2.region,
      bucket: b2.bucket,
      applicationKeyId: b2.credentials.accessKeyId,
      applicationKey: b2.credentials.secretAccessKey,
    },
    onStored: receipt => { stored.push(receipt) },
  }
  const app = Fastify()
  await app.register(b2Uploads, { ...options, preHandler: async (request, reply) => { reply.header('x-user', request.ip) } })
  const url = await app.listen({ port: 0 })

  const response = await fetch(`${url}/media/uploads/song.mp3`, { method: 'PUT', body: 'la la la' })
  const receipt = await response.json() as Receipt
  if (!response.headers.has('x-user')) throw new Error('preHandler did not run')
  if (response.status !== 201 || receipt.storage !== 'b2') throw new Error(`not stored: ${JSON.stringify(receipt)}`)
  if (b2.read(receipt.location)?.toString() !== 'la la la') throw new Error('B2 has something else')
  if (stored[0]?.track.id !== receipt.track.id) throw new Error('the host was not told')
  const name: string = receipt.track.key.slice('consumer/'.length)
  if ((await app.uploads.receipt(name)).track.sha256 !== receipt.track.sha256) throw new Error('another receipt')
  await app.uploads.remove(name)
  const error: unknown = await app.uploads.receipt(name).catch((error: unknown) => error)
  if (!(error instanceof UploadError) || error instanceof ClientGoneError || error.error_code !== 'not_found') throw new Error(`not removed: ${String(error)}`)

  await app.close()
  await b2.close()
  console.log('stored and removed')
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
