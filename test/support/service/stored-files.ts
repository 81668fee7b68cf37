import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import type { B2Emulator } from '../../../emulator/index.ts'
import { sha256 } from './service.ts'
import type { Answer, TestService } from './service.ts'

type Service = Pick<TestService, 'url'>

/** The name under which a file is asked for: the last segment of its key. */
export function nameOf (key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}

/** An answer whose body is JSON, or nothing. */
async function answered (response: Response): Promise<Answer> {
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}

/** Asks for any path with JSON behind it. */
export async function get (service: Service, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  return await answered(await fetch(`${service.url}${path}`, { headers }))
}

/** `GET /uploads/{name}`. */
export async function receiptOf (service: Service, name: string): Promise<Answer> {
  return await get(service, `/uploads/${name}`)
}

/** `DELETE /uploads/{name}`. */
export async function remove (service: Service, name: string, init: RequestInit = {}): Promise<Answer> {
  return await answered(await fetch(`${service.url}/uploads/${name}`, { ...init, method: 'DELETE' }))
}

/** `GET /uploads/{name}/content`: the sha256 of the bytes where there are any, else the status. */
export async function contentOf (service: Service, name: string): Promise<string | number> {
  const response = await fetch(`${service.url}/uploads/${name}/content`)
  const body = await response.arrayBuffer()
  return response.status === 200 ? sha256(new Uint8Array(body)) : response.status
}

/** The file is found no more: neither its receipt nor its bytes. */
export async function isNotFound (t: Test, service: Service, name: string): Promise<void> {
  const { status, body } = await receiptOf(service, name)
  t.match({ status, body }, { status: 404, body: { error_code: 'not_found' } })
  t.equal(await contentOf(service, name), 404)
}

/** Waits until neither the file nor its receipt is below the local directory; in B2 it may be. */
export async function isGoneHere (service: Pick<TestService, 'localFiles'>, name: string): Promise<void> {
  const isOfIt = (file: string): boolean => file.endsWith(`/${name}`) || file.endsWith(`/${name}.receipt.json`)
  while ((await service.localFiles()).some(isOfIt)) await turn()
}

/** Waits until there is nothing in B2 and below the local directory, and fails where that takes too long. */
export async function isEmpty (t: Test, b2: B2Emulator, service: Pick<TestService, 'localFiles'>): Promise<void> {
  let left: string[] = []
  for (let tries = 0; tries < 500; tries++) {
    left = [...b2.versions(), ...b2.unfinishedUploads()].map(({ key }) => `B2: ${key}`)
    left.push(...await service.localFiles())
    if (left.length === 0) break
    await wait(10)
  }
  t.same(left, [], 'nothing is left anywhere')
}
