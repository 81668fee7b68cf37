import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import type { ClientRequest, IncomingMessage } from 'node:http'
import https from 'node:https'
import type { RequestOptions } from 'node:https'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import type { Test } from 'tap'
import { nginxDirectory, runNginx } from './nginx.ts'
import type { TestService } from '../service/service.ts'
import { TLS } from '../clients/tls.ts'

/** What operators get. */
export const NGINX_CONF = readFileSync(new URL('../../../deploy/nginx.conf', import.meta.url), 'utf8')

// An address where nobody else listens, so that a port that is free stays so.
const HOST = '127.0.0.9'

export interface ProxyAnswer {
  readonly status: number
  readonly headers: Headers
  readonly content: Buffer
  // Tests look into bodies of all shapes.
  readonly body: any
}

export interface NginxProxy {
  /** Begins a request; its body is for the caller to write, and to end. */
  request (method: string, path: string, options?: RequestOptions): ClientRequest
  /** A whole request and its answer. `from` is the client's address, below 127.0.0.0/8. */
  fetch (method: string, path: string, options?: { body?: Uint8Array, headers?: Record<string, string>, from?: string }): Promise<ProxyAnswer>
  /** Ends it, and returns the lines of its log. */
  end (): Promise<string[]>
}

/** nginx as deploy/nginx.conf has it, but for addresses and paths, in front of a service; it ends with the test. */
export async function startNginxProxy (t: Test, nginx: string, service: Pick<TestService, 'url'>): Promise<NginxProxy> {
  const dir = await nginxDirectory(t)
  const port = await freePort()
  const places: [from: string, to: string][] = [
    ['server 127.0.0.1:3000;', `server ${new URL(service.url).host};`],
    ['listen 443 ssl;', `listen ${HOST}:${port} ssl;`],
    ['listen [::]:443 ssl;', ''],
    ['/etc/ssl/certs/uploads.example.com.pem', join(dir, 'cert.pem')],
    ['/etc/ssl/private/uploads.example.com.key', join(dir, 'key.pem')],
    ['/var/log/nginx/uploads.access.log', join(dir, 'access.log')],
  ]
  let config = NGINX_CONF
  for (const [from, to] of places) {
    if (!config.includes(from)) throw new Error(`deploy/nginx.conf has no ${from}`)
    config = config.replace(from, to)
  }
  await Promise.all([writeFile(join(dir, 'cert.pem'), TLS.cert), writeFile(join(dir, 'key.pem'), TLS.key)])
  const end = await runNginx(t, nginx, dir, config)
  const agent = new https.Agent({ keepAlive: true })
  t.teardown(() => { agent.destroy() })

  const request: NginxProxy['request'] = (method, path, options = {}) =>
    https.request({ host: HOST, port, method, path, ca: TLS.cert, servername: 'localhost', agent, ...options })

  return {
    request,
    async fetch (method, path, { body, headers = {}, from } = {}) {
      // A connection of its own where the address counts.
      return await answerTo(request(method, path, { headers, ...(from === undefined ? {} : { localAddress: from, agent: false }) }).end(body))
    },
    async end () {
      await end()
      return (await readFile(join(dir, 'access.log'), 'utf8')).trim().split('\n')
    },
  }
}

export async function answerTo (request: ClientRequest): Promise<ProxyAnswer> {
  const [response] = await once(request, 'response') as [IncomingMessage]
  const content = await buffer(response)
  const headers = new Headers(Object.entries(response.headers).map(([name, value]) => [name, String(value)]))
  return { status: response.statusCode!, headers, content, get body () { return JSON.parse(content.toString()) } }
}

async function freePort (): Promise<number> {
  const server = net.createServer().listen(0, HOST)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}
