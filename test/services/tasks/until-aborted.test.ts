import { getEventListeners } from 'node:events'
import t from 'tap'
import { untilAborted } from '../../../services/tasks/until-aborted.ts'

const never = new Promise<never>(() => {})

t.test('what ends in time is waited for, and no listener is left', async t => {
  const { signal } = new AbortController()
  t.equal(await untilAborted('a value', signal), 'a value')
  t.equal(await untilAborted(Promise.resolve('a promise'), signal), 'a promise')
  await t.rejects(untilAborted(Promise.reject(new Error('its own')), signal), { message: 'its own' })
  t.same(getEventListeners(signal, 'abort'), [])
})

t.test('what does not is left to itself when the signal fires, with its reason', async t => {
  const controller = new AbortController()
  const waiting = untilAborted(never, controller.signal)
  controller.abort(new Error('too late'))
  await t.rejects(waiting, { message: 'too late' })
  t.same(getEventListeners(controller.signal, 'abort'), [])
})

t.test('a signal that has fired is not waited for', async t => {
  await t.rejects(untilAborted(never, AbortSignal.abort(new Error('long ago'))), { message: 'long ago' })
})

t.test('nobody is told of what fails after that', async t => {
  const unhandled: unknown[] = []
  const listen = (reason: unknown): void => { unhandled.push(reason) }
  process.on('unhandledRejection', listen)
  t.teardown(() => process.off('unhandledRejection', listen))
  let fail: (error: Error) => void = () => {}
  const waiting = untilAborted(new Promise((_resolve, reject) => { fail = reject }), AbortSignal.abort(new Error('too late')))
  await t.rejects(waiting, { message: 'too late' })
  fail(new Error('later'))
  await new Promise(resolve => setImmediate(resolve))
  t.same(unhandled, [])
})
