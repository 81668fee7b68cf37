/**
 * Lets the process end while a disk hangs. When Node.js exits it waits for the threads of libuv's pool, and one of them that waits
 * for such a disk never ends. So the process ends itself by a signal then, as whoever stops it would in the end.
 * @param isBusy whether operations on the disk are under way
 */
export function endDespiteHangingDisk (isBusy: () => boolean): void {
  process.on('exit', () => {
    if (!isBusy()) return
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      process.removeAllListeners(signal)
      process.kill(process.pid, signal)
    }
  })
}
