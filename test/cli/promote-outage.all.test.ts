import t from 'tap'
import { isPromoted, KIB, MIB } from '../support/promotion/promotion.ts'
import { setCommandStage } from '../support/promotion/promote-command.ts'

t.test('while B2 is out of reach nothing moves, code and sentence say so, and later all does', async t => {
  const { b2, service, fallBack, run } = await setCommandStage(t)
  const stored = [await fallBack(6 * MIB), await fallBack(KIB)]
  const before = await service.localFiles()
  await b2.refuseConnections()
  const { code, stdout, stderr } = await run()
  t.equal(code, 1)
  t.match(stderr, new RegExp(`^1/2 failed ${stored[0]!.key} .+: B2 could not be reached: connection refused \\[network_error\\]\n$`), 'once, as the others would fail as well')
  t.equal(stdout, `0 promoted (0 bytes), 1 failed, 1 not done; 2 left in ${service.dir}.\n`)
  t.same(await service.localFiles(), before)
  await b2.acceptConnections()
  t.equal((await run()).code, 0)
  await isPromoted(t, b2, service, stored)
})
