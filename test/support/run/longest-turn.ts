// Loaded before the service: when it gets a message it tells for how many milliseconds the event loop was held at most since the last one.
// Of a busy machine's time only what this process had counts, that of its other threads included.
const LOOK_MS = 10

let most = 0
let last = { at: performance.now(), cpu: process.cpuUsage() }

setInterval(() => {
  const now = { at: performance.now(), cpu: process.cpuUsage() }
  const used = now.cpu.user + now.cpu.system - last.cpu.user - last.cpu.system
  most = Math.max(most, Math.min(now.at - last.at - LOOK_MS, used / 1_000))
  last = now
}, LOOK_MS).unref()

process.on('message', () => {
  process.send!(most)
  most = 0
})
process.channel!.unref()
