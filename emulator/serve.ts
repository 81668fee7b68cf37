import { startB2Emulator } from './index.ts'

// The emulator as a separate process, to try the service out in containers. It reads the service's variables for B2, so that both can
// share them, and HOST and PORT.
const { HOST, PORT, B2_BUCKET, B2_REGION, B2_APPLICATION_KEY_ID, B2_APPLICATION_KEY } = process.env

const b2 = await startB2Emulator({
  host: HOST || '127.0.0.1',
  port: Number(PORT || 9000),
  ...(B2_BUCKET ? { bucket: B2_BUCKET } : {}),
  ...(B2_REGION ? { region: B2_REGION } : {}),
  ...(B2_APPLICATION_KEY_ID ? { applicationKeyId: B2_APPLICATION_KEY_ID } : {}),
  ...(B2_APPLICATION_KEY ? { applicationKey: B2_APPLICATION_KEY } : {}),
})
b2.on('response', ({ operation, key, partNumber, status, errorCode, outcome }) => {
  console.log([operation, key, partNumber && `part ${partNumber}`, status ?? outcome, errorCode].filter(Boolean).join(' '))
})
console.log(`Emulated B2 listening at ${b2.endpoint}, bucket ${b2.bucket}, region ${b2.region}; its files are in memory only`)

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { void b2.close() })
