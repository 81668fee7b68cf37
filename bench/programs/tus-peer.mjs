// The usual way to take resumable uploads into a bucket: @tus/server with @tus/s3-store, with the defaults of both.
import process from 'node:process'
import { S3Store } from '@tus/s3-store'
import { Server } from '@tus/server'

const { B2_ENDPOINT, B2_REGION, B2_BUCKET, B2_APPLICATION_KEY_ID, B2_APPLICATION_KEY } = process.env

const server = new Server({
  path: '/files',
  relativeLocation: true,
  datastore: new S3Store({
    useTags: false, // B2 has none
    s3ClientConfig: {
      bucket: B2_BUCKET,
      endpoint: B2_ENDPOINT,
      region: B2_REGION,
      forcePathStyle: true,
      credentials: { accessKeyId: B2_APPLICATION_KEY_ID, secretAccessKey: B2_APPLICATION_KEY },
    },
  }),
})
const listener = server.listen({ host: '127.0.0.1', port: 0 }, () => {
  console.log(`listening at http://127.0.0.1:${listener.address().port}`)
})
