import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const LEFT_BYTES = 33_554_432 // 32 MiB
const GROWN_BYTES = 16_777_216 // 16 MiB

/**
 * Sets V8 up for a process that does nothing but take uploads. It holds for the whole process, so it is for who owns it,
 * not for a plugin.
 *
 * What comes in over sockets counts as external memory, and for each 64 MB of it V8 begins to mark the whole heap,
 * though all of that is garbage already: a quarter of the CPU time of large uploads. Without incremental marking it
 * collects the young generation first, which is enough.
 */
export function tuneGarbageCollection (): void {
  setFlagsFromString('--no-incremental-marking')
}

/**
 * Collects garbage when no upload runs, and more than 32 MiB of buffers are left of those that did: an idle process
 * allocates nothing, so V8 would keep what they needed until the next ones come. Or when the heap has grown by 16 MiB, as
 * promotions let it: V8 would let it grow to a multiple of what is in use. Returns the function that ends it.
 */
export function collectWhenIdle (isBusy: () => boolean, lookEveryMs = 2_000): () => void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  let least = Infinity
  const timer = setInterval(() => {
    const { arrayBuffers, heapUsed } = process.memoryUsage()
    least = Math.min(least, heapUsed)
    if (isBusy() || !(arrayBuffers > LEFT_BYTES || heapUsed > least + GROWN_BYTES)) return
    collect()
    least = process.memoryUsage().heapUsed
  }, lookEveryMs)
  timer.unref()
  return () => clearInterval(timer)
}
