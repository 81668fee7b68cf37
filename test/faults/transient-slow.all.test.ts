import t from 'tap'
import { KIB, MIB } from '../support/faults/fault-matrix.ts'
import { reachesB2, STEPS } from '../support/faults/transient.ts'

t.test('2 MB/s are slow, but no failure', async t => {
  await reachesB2(t, [], { sizes: [100 * KIB, 12 * MIB], bytesPerSecond: 2_000_000 })
})

t.test('a request that moves may take longer than the stall time', async t => {
  // At 2 MB/s this one takes 16 s; B2's default for a stall is 10 s.
  await reachesB2(t, [], { sizes: [31 * MIB], bytesPerSecond: 2_000_000, partBytes: 32 * MIB })
})

t.test('what the kernel still has to send counts as moving', { skip: process.platform === 'linux' ? false : 'only Linux tells' }, async t => {
  // Sockets take MiB at once, long before B2 gets them: nothing can be seen to move for longer than the stall time.
  await reachesB2(t, [], { stallMs: '1000', sizes: [12 * MIB], bytesPerSecond: 2_000_000, partBytes: 16 * MIB })
})

t.test('SlowDown is obeyed at every step', async t => {
  await reachesB2(t, STEPS.map(step => ({ ...step, status: 503, code: 'SlowDown', headers: { 'Retry-After': '1' } })), { sizes: [12 * MIB] })
})
