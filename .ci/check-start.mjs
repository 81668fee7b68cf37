import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'

// Waits for the service to listen, and uploads.
const deadline = Date.now() + 120_000
let url
while (url === undefined) {
  assert.ok(Date.now() < deadline, 'the service did not listen within two minutes')
  url = /Server listening at (http:[^"\s]+)/.exec(readFileSync(process.argv[2], 'utf8'))?.[1]
  if (url === undefined) await pause(100)
}
const response = await fetch(`${url}/uploads/hello.txt`, { method: 'PUT', body: 'hello' })
const receipt = await response.json()
assert.equal(response.status, 201)
assert.equal(receipt.storage, 'local')
assert.equal(receipt.fallback_from_b2, undefined)
assert.equal(readFileSync(receipt.location, 'utf8'), 'hello')
console.log(`an upload to ${url} was stored`)
