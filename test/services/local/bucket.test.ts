import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import nodeFs, { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { BUCKET_MARKER } from '../../../services/local/bucket.ts'
import type { FileSystem } from '../../../services/disk/file-system.ts'
import { createLocalStore } from '../../../services/local/store.ts'
import { KIB, setPromotionStage } from '../../support/promotion/promotion.ts'
import { bytes, put, startService } from '../../support/service/service.ts'
import { keepsToItsBucket } from '../../support/service/own-bucket.ts'

const OWN = { endpoint: 'https://s3.us-west-004.backblazeb2.com', bucket: 'songs' }

function fail (code: string): never {
  throw Object.assign(new Error(code), { code, syscall: 'link' })
}

keepsToItsBucket('production')

t.test('in local-only mode a directory is not marked, and a mark is no trouble', async t => {
  const plain = await startService(t)
  await put(plain, bytes(KIB))
  t.notOk((await readdir(plain.dir)).includes(BUCKET_MARKER))
  writeFileSync(join(plain.dir, BUCKET_MARKER), '{}')
  t.equal((await put(await startService(t, { LOCAL_STORAGE_DIR: plain.dir }), bytes(KIB))).status, 201)
})

t.test('an endpoint is the same however it is written', async t => {
  const dir = t.testdir()
  const store = createLocalStore({ dir })
  t.equal(await store.assertBucket(OWN), false)
  t.equal(await store.claimForBucket(OWN), true)
  for (const endpoint of [
    'https://s3.us-west-004.backblazeb2.com/', 'https://S3.US-West-004.backblazeb2.com', 'https://s3.us-west-004.backblazeb2.com:443//', 'HTTPS://s3.us-west-004.backblazeb2.com.',
  ]) t.equal(await store.claimForBucket({ ...OWN, endpoint }), true, endpoint)
  for (const other of [
    { ...OWN, bucket: 'Songs' }, { ...OWN, endpoint: 'https://s3.us-west-002.backblazeb2.com' }, { ...OWN, endpoint: 'http://s3.us-west-004.backblazeb2.com' },
    { ...OWN, endpoint: 'https://s3.us-west-004.backblazeb2.com:8443' }, { ...OWN, endpoint: 'https://s3.us-west-004.backblazeb2.com/v2' },
  ]) await t.rejects(store.claimForBucket(other), { name: 'WrongBucketError' }, JSON.stringify(other))
})

t.test('many that start at once agree, and one of them has it', async t => {
  for (const fs of [{}, { link: async () => fail('ENOTSUP') }] as Partial<FileSystem>[]) {
    const dir = t.testdir()
    const start = (bucket: string) => createLocalStore({ dir, fs }).claimForBucket({ ...OWN, bucket })
    t.same(await Promise.all(Array.from({ length: 20 }, () => start('songs'))), Array(20).fill(true))
    await t.rejects(start('others'), { name: 'WrongBucketError' })
    t.same(await readdir(dir), [BUCKET_MARKER], 'and nothing else')
  }
  const dir = t.testdir()
  const outcomes = await Promise.allSettled(['a', 'b', 'c', 'd'].map(bucket => createLocalStore({ dir }).claimForBucket({ ...OWN, bucket })))
  t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
})

t.test('a full disk gets the mark when there is room', async t => {
  for (const method of ['open', 'link'] as const) {
    const dir = t.testdir()
    const disk = { isFull: true }
    const fs = { [method]: (async (...args: unknown[]) => disk.isFull && String(args[1]) !== 'r' ? fail('ENOSPC') : await (nodeFs[method] as any)(...args)) as never }
    const store = createLocalStore({ dir, fs })
    t.equal(await store.claimForBucket(OWN), false)
    disk.isFull = false
    t.equal(await store.claimForBucket(OWN), true)
    t.same(await readdir(dir), [BUCKET_MARKER])
  }
})

t.test('a pass marks a directory that had no room at the start, and does nothing if somebody else did so meanwhile', async t => {
  const { service, uploads, fallBack, b2 } = await setPromotionStage(t)
  const { key } = await fallBack(KIB)
  const path = join(service.dir, BUCKET_MARKER)
  rmSync(path)
  writeFileSync(path, JSON.stringify({ ...OWN }))
  await t.rejects(uploads.promote(), { name: 'WrongBucketError', message: /belongs to the bucket "songs"/ })
  t.notOk(b2.read(key))
  rmSync(path)
  t.match(await uploads.promote(), { promoted: 1 })
  t.match(JSON.parse(readFileSync(path, 'utf8')), { bucket: b2.bucket })
})

t.test('a mark that can\'t be understood or read is said to be so, with what to do', async t => {
  const dir = t.testdir()
  for (const text of ['', '{"endpoint":"https://s3.us', '[]', 'null', '{"endpoint":"s3","bucket":"songs"}', '{"endpoint":"https://a.example","bucket":""}']) {
    writeFileSync(join(dir, BUCKET_MARKER), text)
    await t.rejects(createLocalStore({ dir }).claimForBucket(OWN), {
      name: 'WrongBucketError', message: `The file ${dir}/.bucket.json says which bucket the files of the local storage directory (LOCAL_STORAGE_DIR) are promoted to. It is damaged. If that is the bucket "songs" at https://s3.us-west-004.backblazeb2.com, remove it and start again.`,
    })
  }
  const failing = (code: string) => createLocalStore({ dir, fs: { readFile: (async () => fail(code)) as never } }).claimForBucket(OWN)
  await t.rejects(failing('EACCES'), { name: 'WrongBucketError', message: /It could not be read: permission was denied/ })
  await t.rejects(failing('EIO'), { name: 'LocalStoreError' }, 'a disk that fails says nothing of it')
})
