import nodeFs from 'node:fs/promises'
import t from 'tap'
import { createFreeSpace } from '../../services/local-free-space.ts'

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

t.test('a file is refused that would leave less than is to be kept, and no other', async t => {
  const space = createFreeSpace(diskWith(10_240), '/storage', 4_096)
  for (const bytes of [0, 1, 6_144]) await space.demand(bytes)
  for (const bytes of [6_145, 10_240, 20_000]) await t.rejects(space.demand(bytes), { name: 'LocalStoreError', error_code: 'disk_full' })
})

t.test('where nothing is to be kept, and where nothing can be measured, the write itself will tell', async () => {
  await createFreeSpace(diskWith(10_240), '/storage', 0).demand(20_000)
  await createFreeSpace(unmeasurable, '/storage', 4_096).demand(20_000)
})
