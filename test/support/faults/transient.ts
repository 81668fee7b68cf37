import type { Test } from 'tap'
import type { Fault } from '../../../emulator/index.ts'
import { drawNoPauses } from '../b2/no-pauses.ts'
import { checkAnswer, checkLeftovers, checkLog, KIB, MIB } from './fault-matrix.ts'
import { b2Env, bytes, put, startB2, startService } from '../service/service.ts'

const PART = 5 * MIB
/** Of one request, of two parts, and beyond the window. */
const SIZES = [100 * KIB, 7 * MIB, 18 * MIB]

/** Every request of an upload that stores something. */
export const STEPS: Pick<Fault, 'operation' | 'part'>[] = [
  { operation: 'PutObject' }, { operation: 'CreateMultipartUpload' }, { operation: 'UploadPart', part: 1 }, { operation: 'UploadPart', part: 2 },
  { operation: 'CompleteMultipartUpload' },
]

interface Conditions { stallMs?: string, sizes?: number[], partBytes?: number, bytesPerSecond?: number }

/** Uploads files into troubles that pass, and checks that B2 has them once and nothing else is left. */
export async function reachesB2 (t: Test, faults: Fault[], { stallMs = '10000', sizes = SIZES, partBytes = PART, bytesPerSecond }: Conditions = {}): Promise<void> {
  drawNoPauses(t)
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: stallMs, B2_PART_BYTES: String(partBytes), REPLAY_WINDOW_BYTES: String(3 * partBytes) })
  for (const size of sizes) {
    const before = service.log.lines.length
    const content = bytes(size)
    if (bytesPerSecond !== undefined) b2.throttle({ bytesPerSecond })
    const handles = faults.map(fault => b2.fault(fault))
    const answer = await put(service, content, 'song.mp3')
    await checkAnswer(t, answer, content, 'b2', service, b2)
    await checkLeftovers(t, answer, 'b2', service, b2)
    checkLog(t, service.log.lines.slice(before), 'b2')
    if (faults.length > 0) t.ok(handles.some(({ applied }) => applied > 0), 'there was a fault')
    b2.reset()
  }
  t.same(service.log.of('breaker.open'), [])
}
