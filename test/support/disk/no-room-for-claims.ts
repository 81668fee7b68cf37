import fs from 'node:fs/promises'

// Loaded before a service: its disk has no room for claims, as a full one has none for names.
const { open } = fs
fs.open = async (path, ...how) => {
  if (String(path).endsWith('.claim')) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC', syscall: 'open' })
  return await open(path, ...how)
}
