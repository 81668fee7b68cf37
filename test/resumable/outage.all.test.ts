import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import type { B2Emulator } from '../../emulator/index.ts'
import { onlyFilesAreLeft } from '../support/resumable/leftovers.ts'
import { SIZE, start, upload } from '../support/resumable/pieces.ts'
import { b2Env, bytes, startService } from '../support/service/service.ts'

const OUTAGES: [name: string, isDown: (piece: number) => boolean, storage: RegExp][] = [
  ['before', () => true, /^local$/],
  ['in the middle', piece => piece >= 2, /^(split|local)$/],
  ['at the end', piece => piece === 3, /^(split|local)$/],
  ['at the beginning only', piece => piece < 2, /^(b2|split|local)$/],
  ['now and then', piece => piece % 2 === 1, /^(b2|split|local)$/],
]

t.test('B2 is down before, during and at the end of an upload: it goes on, and the file is in B2 at last', async t => {
  for (const [name, isDown, storage] of OUTAGES) {
    await t.test(name, async t => {
      const { b2, service } = await start(t)
      const content = bytes(SIZE)
      let down: ReturnType<B2Emulator['fault']> | undefined
      const stored = await upload(t, service, content, piece => {
        down?.cancel()
        down = isDown(piece) ? b2.fault({ status: 503, times: Infinity }) : undefined
      })
      t.match(stored, storage)
      down?.cancel()
      await onlyFilesAreLeft(t, b2, service, [content])
      t.equal(service.app.uploads.heldBytes, 0)
    })
  }
})

t.test('what a split file needs of its upload stays in B2, though another instance finds that old', async t => {
  const { b2, service } = await start(t)
  const content = bytes(SIZE)
  let down: ReturnType<B2Emulator['fault']> | undefined
  const stored = await upload(t, service, content, piece => {
    if (piece === 2) down = b2.fault({ operation: ['PutObject', 'UploadPart', 'CompleteMultipartUpload'], status: 503, times: Infinity })
  })
  t.equal(stored, 'split')
  const tails = (): string[] => b2.objects().map(({ key }) => key).filter(key => key.includes('/tail-'))
  t.equal(tails().length, 1)
  await startService(t, { ...b2Env(b2), RESUMABLE_MAX_AGE_MS: '100' })
  const listings = (): number => b2.requests.filter(({ operation }) => operation === 'ListObjectsV2').length
  const before = listings()
  while (listings() === before) await wait(50)
  await wait(500) // for what must not happen
  t.equal(tails().length, 1)
  down!.cancel()
  await onlyFilesAreLeft(t, b2, service, [content])
})
