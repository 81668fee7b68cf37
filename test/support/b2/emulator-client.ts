import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import type { S3ClientConfig } from '@aws-sdk/client-s3'
import type { Test } from 'tap'
import type { B2Emulator, B2EmulatorOptions } from '../../../emulator/index.ts'
import { startB2 } from '../service/service.ts'

/** An emulator and a plain client of it; both end with the test. */
export async function setUp (t: Test, options: B2EmulatorOptions = {}, config: S3ClientConfig = {}) {
  const emulator = await startB2(t, options)
  const client = clientOf(emulator, config)
  t.teardown(() => client.destroy())
  const put = (Key: string, Body: string | Uint8Array = 'x', abortSignal?: AbortSignal) =>
    client.send(new PutObjectCommand({ Bucket: emulator.bucket, Key, Body }), abortSignal === undefined ? {} : { abortSignal })
  return { emulator, client, put, Bucket: emulator.bucket }
}

/** A client that tries once, so that every answer is seen. */
export function clientOf (emulator: B2Emulator, config: S3ClientConfig = {}): S3Client {
  return new S3Client({
    endpoint: emulator.endpoint,
    region: emulator.region,
    credentials: emulator.credentials,
    forcePathStyle: true,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 1,
    ...config,
  })
}

interface Failure {
  name?: string
  code?: string
  message?: string
  status?: number | undefined
}

/** What a request that has to fail failed with. */
export async function failureOf (promise: Promise<unknown>): Promise<Failure> {
  try {
    await promise
  } catch (error) {
    const { name, message, code, $metadata } = error as Error & { code?: string, $metadata?: { httpStatusCode?: number } }
    return { name, message, ...(code === undefined ? {} : { code }), status: $metadata?.httpStatusCode }
  }
  throw new Error('It was expected to fail')
}
