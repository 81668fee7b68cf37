// Loaded before the service: when it gets a message it tells for how many milliseconds the event loop was held at most since the last one, and how
// many milliseconds of CPU time the process used. Of a busy machine's time only what this process had counts, that of its other threads included.
const LOOK_MS = 10

let most = 0
let told = 0
let last = { at: performance.now(), cpu: process.cpuUsage() }

const usedOf = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1_000

setInterval(() => {
  const now = { at: performance.now(), cpu: process.cpuUsage() }
  most = Math.max(most, Math.min(now.at - last.at - LOOK_MS, usedOf(now.cpu) - usedOf(last.cpu)))
  last = now
}, LOOK_MS).unref()

process.on('message', () => {
  const used = usedOf(process.cpuUsage())
  process.send!({ most, used: used - told })
  most = 0
  told = used
})
process.channel!.unref()
