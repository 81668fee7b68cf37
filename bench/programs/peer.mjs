// What most people would write: express, multer and multer-s3, with the defaults of all three.
import { randomUUID } from 'node:crypto'
import process from 'node:process'
import { S3Client } from '@aws-sdk/client-s3'
import express from 'express'
import multer from 'multer'
import multerS3 from 'multer-s3'

const { B2_ENDPOINT, B2_REGION, B2_BUCKET, B2_APPLICATION_KEY_ID, B2_APPLICATION_KEY } = process.env

const s3 = new S3Client({
  endpoint: B2_ENDPOINT,
  region: B2_REGION,
  forcePathStyle: true,
  credentials: { accessKeyId: B2_APPLICATION_KEY_ID, secretAccessKey: B2_APPLICATION_KEY },
})
const upload = multer({
  storage: multerS3({ s3, bucket: B2_BUCKET, key: (_request, _file, done) => done(null, `tracks/${randomUUID()}.bin`) }),
})

const app = express()
app.post('/upload', upload.single('file'), (request, response) => {
  response.status(201).json({ storage: 'b2', location: request.file.key })
})
const server = app.listen(0, '127.0.0.1', () => {
  console.log(`listening at http://127.0.0.1:${server.address().port}`)
})
