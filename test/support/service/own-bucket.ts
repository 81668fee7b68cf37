import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { BUCKET_MARKER } from '../../../services/local/bucket.ts'
import { promote } from '../promotion/promote-command.ts'
import { CALM, KIB, setPromotionStage } from '../promotion/promotion.ts'
import { runServer } from './server-process.ts'
import { b2Env, startB2 } from './service.ts'

export function keepsToItsBucket (env: 'production' | 'development'): void {
  t.test(`${env}: files are promoted to the bucket of their directory alone; nothing starts with another one, and the message names both`, async t => {
    const [b2, other] = [await startB2(t), await startB2(t, { bucket: 'another-bucket' })]
    const { service, fallBack } = await setPromotionStage(t, {}, b2)
    const { key } = await fallBack(KIB)
    const common = { ...CALM, LOCAL_STORAGE_DIR: service.dir, NODE_ENV: env }
    const names = new RegExp(`belongs to the bucket "${b2.bucket}" at ${b2.endpoint}; .* the bucket "another-bucket" at ${other.endpoint}\\..*remove ${service.dir}/\\${BUCKET_MARKER}`)
    const server = runServer(t, { ...b2Env(other), ...common })
    t.match(await server.line(({ level }) => level === 60), { msg: names })
    t.equal(await server.exited, 1)
    for (const args of env === 'production' ? [['--retry-set-aside', '--json']] : [['--dry-run']]) {
      const { code, stdout, stderr } = await promote(t, args, { ...b2Env(other), ...common })
      t.same([code, stdout], [2, ''], args.join())
      t.match(stderr, names)
    }
    t.same(other.requests, [])
    t.same(await service.localFiles(), [key, `${key}.receipt.json`])

    rmSync(join(service.dir, BUCKET_MARKER))
    t.match(await promote(t, [], { ...b2Env(other), ...common }), { code: 0, stderr: '' }, 'which is how it is changed')
    t.ok(other.read(key))
    t.match(JSON.parse(readFileSync(join(service.dir, BUCKET_MARKER), 'utf8')), { endpoint: other.endpoint, bucket: 'another-bucket' })
  })
}
