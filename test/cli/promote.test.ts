import t from 'tap'
import { isPromoted, KIB, MIB, PART } from '../support/promotion/promotion.ts'
import { setCommandStage } from '../support/promotion/promote-command.ts'

// Many processes are started one after the other, each of which loads all code anew.

t.test('all files go to B2, with a line for each, and a second time there is nothing to do', async t => {
  const { b2, service, fallBack, run } = await setCommandStage(t)
  const sizes = [100 * KIB, 0, PART + 1, 12 * MIB]
  const stored = []
  for (const size of sizes) stored.push(await fallBack(size, 'Lied.mp3'))
  const total = sizes.reduce((sum, size) => sum + size)

  const { code, stdout, stderr } = await run()
  t.equal(code, 0)
  t.equal(stderr, '')
  t.same(stdout.split('\n'), [
    ...stored.map(({ key, content }, index) => `${index + 1}/4 promoted ${key} (${content.byteLength} bytes)`),
    `4 promoted (${total} bytes); none left in ${service.dir}.`,
    '',
  ])
  await isPromoted(t, b2, service, stored)
  t.same(await run(), { code: 0, stdout: `Nothing to promote in ${service.dir}.\n`, stderr: '' })
})
