import nodeFs from 'node:fs/promises'
import t from 'tap'
import { createFreeSpace } from '../../../../services/local/writing/free-space.ts'

/** A disk with so many bytes free, and more that only root may use. */
function diskWith (bytes: number) {
  const statfs = async () => ({ bsize: 512, bavail: bytes / 512, bfree: bytes, files: 0, ffree: 0 })
  return { ...nodeFs, statfs } as unknown as typeof nodeFs
}

const unmeasurable = { ...nodeFs, statfs: async () => { throw Object.assign(new Error('no'), { code: 'ENOSYS' }) } } as unknown as typeof nodeFs

t.test('what an ordinary process may still write is measured, in bytes and inodes', async t => {
  t.same(await createFreeSpace(diskWith(1_048_576), '/storage', 0).measure(), { bytes: 1_048_576, inodes: Infinity }, 'none in total is no limit')
  const { bytes, inodes } = await createFreeSpace(nodeFs, t.testdir(), 0).measure()
  t.ok(bytes > 0 && inodes > 0, 'of a real disk')
  const statfs = async () => ({ bsize: 512, bavail: 2, files: 100, ffree: 3 })
  t.same(await createFreeSpace({ ...nodeFs, statfs } as unknown as typeof nodeFs, '/storage', 0).measure(), { bytes: 1_024, inodes: 3 })
  await t.rejects(createFreeSpace(unmeasurable, '/storage', 0).measure(), { code: 'ENOSYS' })
})

const FULL = { name: 'LocalStoreError', error_code: 'disk_full' }

t.test('a file is refused that would leave less than is to be kept, and no other', async t => {
  for (const bytes of [0, 1, 6_144]) await createFreeSpace(diskWith(10_240), '/storage', 4_096).reserve(bytes)
  for (const bytes of [6_145, 10_240, 20_000]) await t.rejects(createFreeSpace(diskWith(10_240), '/storage', 4_096).reserve(bytes), FULL)
})

t.test('what is set aside for one file is not there for another, until it is given back', async t => {
  const space = createFreeSpace(diskWith(10_240), '/storage', 4_096)
  const [first, second, ...others] = await Promise.allSettled(Array.from({ length: 5 }, () => space.reserve(3_000)))
  t.match([first, second].map(({ status }: any) => status), ['fulfilled', 'fulfilled'])
  for (const { reason } of others as any[]) t.match(reason, FULL)
  const { value } = first as PromiseFulfilledResult<Awaited<ReturnType<typeof space.reserve>>>
  await t.rejects(value.add(145), FULL)
  t.equal(value.bytes, 3_000, 'what it had it has')
  await value.add(144)
  value.release()
  value.release()
  t.equal(value.bytes, 0)
  await space.reserve(3_144)
  await t.rejects(space.reserve(1), FULL)
})

t.test('what is written is not counted twice, nor not at all while the disk is asked', async t => {
  let bytes = 10_240
  let answer = (): void => {}
  const statfs = async () => {
    const bavail = bytes / 512
    await new Promise<void>(resolve => { answer = resolve })
    return { bsize: 512, bavail, files: 0, ffree: 0 }
  }
  const space = createFreeSpace({ ...nodeFs, statfs } as unknown as typeof nodeFs, '/storage', 4_096)
  const reserve = (bytes: number) => {
    const run = space.reserve(bytes)
    return { run, answer }
  }
  const first = reserve(4_096)
  first.answer()
  const writing = await first.run
  const second = reserve(3_072)
  bytes -= 2_048 // on the disk, but too late for the answer
  writing.wrote(2_048)
  second.answer()
  await t.rejects(second.run, FULL)
  const third = reserve(2_048)
  third.answer()
  await third.run
  writing.wrote(9_999)
  t.equal(writing.bytes, 0, 'more than was set aside is nothing that others wait for')
})

t.test('where nothing is to be kept, and where nothing can be measured, the write itself will tell', async t => {
  const unlimited = await createFreeSpace(diskWith(10_240), '/storage', 0).reserve(20_000)
  await unlimited.add(20_000)
  unlimited.wrote(20_000)
  unlimited.release()
  t.ok(unlimited.bytes > 20_000)
  await createFreeSpace(unmeasurable, '/storage', 4_096).reserve(20_000)
})
